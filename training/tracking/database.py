"""MLflow's store as an SQLite file: its location, a check that it is complete, and how a new one is made."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from training.tracking.locks import FolderError, lock_folder
from training.tracking.spool import TrackingError

__all__ = ["DEFAULT_DATABASE", "check_runs_in", "database_of", "prepare", "uri_of"]

DEFAULT_DATABASE = Path("mlruns", "mlflow.db")
SQLITE = "sqlite:"
BEGINS = "sqlite:///"


def uri_of(database: Path) -> str:
    """The SQLAlchemy URI of the database. Raises TrackingError if SQLAlchemy would read another path."""
    if found := [character for character in "?%" if character in str(database)]:
        raise TrackingError(
            f"{database}: MLflow cannot use a database in a folder with {' or '.join(found)} in its name; start the "
            "job in another folder, or set MLFLOW_TRACKING_URI"
        )
    return f"{BEGINS}{database}"


def database_of(uri: str) -> Path | None:
    """The path, or None if `uri` is not that of an SQLite file. Raises TrackingError if it names no file, or if MLflow
    and SQLAlchemy read it differently."""
    if not uri.startswith(SQLITE):
        return None
    path, _, query = uri.removeprefix(BEGINS).partition("?")
    if not uri.startswith(BEGINS) or path in ("", ":memory:"):
        raise TrackingError(f"MLFLOW_TRACKING_URI={uri}: names no file; expected {BEGINS}/folder/mlflow.db")
    if "%" in path or "/" in query:
        raise TrackingError(
            f"MLFLOW_TRACKING_URI={uri}: MLflow cannot use a database in a folder with % or ? in its name; a space or "
            "an umlaut is written without escaping"
        )
    return Path(path).absolute()


def check_runs_in(database: Path) -> None:
    """For jobs that only read. Raises TrackingError if there is no database."""
    if not database.is_file():
        raise TrackingError(
            f"{database}: there are no runs yet; make one with: uv run python jobs/train_classifier.py, or start this "
            "in the folder where it was made"
        )


def prepare(database: Path, make: Callable[[Path], None]) -> None:
    """Creates the database if there is none: by `make` under another name, so that it is complete when it appears. Two
    processes that start at the same time get the same database. Raises TrackingError if the file is not a complete
    MLflow store."""
    try:
        with lock_folder(database.parent, wait=True):
            if database.exists() and not database.is_file():
                raise TrackingError(f"{database}: not a file; set MLFLOW_TRACKING_URI to {BEGINS} and a file's path")
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
    for left in database.parent.glob(f"{drafts}*"):  # by a process that was killed; this process holds the lock
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=drafts, dir=database.parent) as folder:
        draft = Path(folder, database.name)
        make(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        if database.is_file() and not database.stat().st_size:
            draft.replace(database)
            return
        with contextlib.suppress(FileExistsError):  # another program has created one in the meantime
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
            return  # locked by a program that writes; MLflow waits for it
        raise TrackingError(
            f"{database}: not a database that SQLite can read ({error}); restore it from a copy, or move it away: "
            "the next job creates a new one"
        ) from None
    if not used:  # MLflow creates the first experiment last
        raise TrackingError(
            f"{database}: incomplete: the job that created it was stopped, or it is another program's file. It holds "
            f"no experiment and no model, so nothing is lost: mv '{database}' '{database}.half', then start the job "
            "again"
        )
