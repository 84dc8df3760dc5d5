"""MLflow's store as an SQLite file: where it lies, whether it is whole, and how a new one is made."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from training.tracking.locks import FolderError, lock_folder
from training.tracking.spool import TrackingError

__all__ = ["DEFAULT_DATABASE", "database_of", "prepare", "uri_of"]

DEFAULT_DATABASE = Path("mlruns", "mlflow.db")
SQLITE = "sqlite:"
BEGINS = "sqlite:///"


def uri_of(database: Path) -> str:
    """Raises TrackingError where SQLAlchemy would read another path."""
    if found := [character for character in "?%" if character in str(database)]:
        raise TrackingError(
            f"{database}: MLflow cannot have a database in a folder with {' or '.join(found)} in its name; start the "
            "job in another folder, or set MLFLOW_TRACKING_URI"
        )
    return f"{BEGINS}{database}"


def database_of(uri: str) -> Path | None:
    """None where `uri` is no SQLite file's. Raises TrackingError where it names none, or in a way that MLflow and
    SQLAlchemy read differently."""
    if not uri.startswith(SQLITE):
        return None
    path, _, query = uri.removeprefix(BEGINS).partition("?")
    if not uri.startswith(BEGINS) or path in ("", ":memory:"):
        raise TrackingError(f"MLFLOW_TRACKING_URI={uri}: names no file; expected {BEGINS}/folder/mlflow.db")
    if "%" in path or "/" in query:
        raise TrackingError(
            f"MLFLOW_TRACKING_URI={uri}: MLflow cannot have a database in a folder with % or ? in its name; a blank or "
            "an umlaut is written as it is"
        )
    return Path(path).absolute()


def prepare(database: Path, make: Callable[[Path], None]) -> None:
    """Makes the database where there is none: by `make` under another name, and whole when it appears. Two processes
    that begin at once get one database. Raises TrackingError where what is there is not a whole MLflow store."""
    try:
        with lock_folder(database.parent, wait=True):
            if database.exists() and not database.is_file():
                raise TrackingError(f"{database}: is no file; set MLFLOW_TRACKING_URI to {BEGINS} and a file's path")
            if database.is_file() and database.stat().st_size:
                _check(database)
            else:
                _make(database, make)
    except FolderError as error:
        raise TrackingError(f"{error}; choose another in MLFLOW_TRACKING_URI") from None
    except OSError as error:
        raise TrackingError(f"{database}: cannot be made or opened ({error.strerror})") from None


def _make(database: Path, make: Callable[[Path], None]) -> None:
    drafts = f".{database.name}.partial-"
    for left in database.parent.glob(f"{drafts}*"):  # by a process that was killed; we hold the folder
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=drafts, dir=database.parent) as folder:
        draft = Path(folder, database.name)
        make(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        if database.is_file() and not database.stat().st_size:
            draft.replace(database)
            return
        with contextlib.suppress(FileExistsError):  # another program has made one meanwhile
            os.link(draft, database)


def _check(database: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=0)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            used = any(
                connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()  # noqa: S608
                for table in ("experiments", "registered_models")
                if table in tables
            )
    except sqlite3.Error as error:
        if "locked" in str(error):
            return  # by a program that writes; MLflow waits for it
        raise TrackingError(
            f"{database}: not a database that SQLite can read ({error}); put a copy of yours there, or move it away: "
            "the next job makes a new one"
        ) from None
    if not used:  # MLflow makes the first experiment last
        raise TrackingError(
            f"{database}: half made, because the job that began it was stopped (or it is another program's). It holds "
            f"no experiment and no model, so nothing is lost: mv '{database}' '{database}.half', then start the job "
            "again"
        )
