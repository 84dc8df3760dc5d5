"""The folder of a run: its checkpoint and model, its lock, and how an interrupted run is found.

A folder in an object store has a copy on this machine, which is sent there with each checkpoint."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.errors import RoadsignError
from pipelines.places import Place, is_remote
from pipelines.store.atomic_file import atomic_file
from pipelines.store.object_lease import leased
from pipelines.store.remote_copy import RemoteCopy, here, named, shown
from training.tracking.locks import FolderError, lock_folder

__all__ = ["RunError", "RunFolder", "find_runs", "hold_run_folder"]

RECORD = "run.json"
LOG = logging.getLogger(__name__)


class RunError(RoadsignError):
    """A run cannot be started or resumed."""


class RunFolder:
    """`checkpoint` and `model` exist once they have been written; `record` describes the run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.pt"
        self.model = path / "model.pt"
        self.copy = RemoteCopy.of(path, last=RECORD)
        """If the folder is in an object store: only one process sends files there, that of the first rank."""

    @property
    def record(self) -> dict[str, Any]:
        """Raises RunError."""
        try:
            found = json.loads((self.path / RECORD).read_text())
        except FileNotFoundError:
            raise RunError(
                f"{shown(self.path)}: not a run folder; resume takes never, auto, or the folder of a run"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(
                f"{shown(self.path / RECORD)}: not readable ({error}); use resume=never to start again"
            ) from None
        if not isinstance(found, dict):
            raise RunError(f"{shown(self.path / RECORD)}: not the record of a run; use resume=never to start again")
        return found

    @property
    def finished(self) -> bool:
        return bool(self.record.get("finished"))

    def add_to_record(self, **facts: Any) -> None:
        """Raises RunError; the record is then unchanged."""
        path = self.path / RECORD
        record = {**(self.record if path.exists() else {}), **facts}
        try:
            with atomic_file(path) as partial:
                partial.write_text(json.dumps(record, indent=1))
        except OSError as error:
            raise RunError(
                f"{path}: cannot be written ({error.strerror}); make room, or choose another runs_root"
            ) from None


def find_runs(root: Path, pattern: str) -> list[RunFolder]:
    """The runs in the folders below `root` that match, sorted by name. Incomplete folders, which a kill or a full disk
    can leave, are skipped with a warning."""
    found = []
    for path in sorted(path for path in root.glob(pattern) if path.is_dir() and not path.name.startswith(".")):
        folder = RunFolder(path)
        try:
            found += [folder] if folder.record else []
        except RunError:
            LOG.warning(
                "warning: %s: skipped, its %s is missing or incomplete; remove the folder if you do not need it",
                path,
                RECORD,
            )
    return found


@contextmanager
def hold_run_folder(runs_root: Place, resume: str, name: str, fingerprint: str, command: str) -> Iterator[RunFolder]:
    """A new folder, or that of the run that `resume` asks for (settings.TrainingRun), locked until the end of the
    block: no other process can resume the same run. Raises RunError, and StoreError if it is in an object store that
    does not answer."""
    with _records(runs_root, fingerprint) as root:
        folder = _to_resume(root, _local(resume), fingerprint) or _new(root, name, fingerprint, command)
        try:
            with lock_folder(folder.path), _sent(folder.copy) if folder.copy else nullcontext():
                yield folder
        except FolderError as error:
            why = "this run is being trained by another process; wait for it, or stop it"
            raise RunError(f"{shown(folder.path)}: {why if error.busy else error.reason}") from None


@contextmanager
def _records(runs_root: Place, fingerprint: str) -> Iterator[Path]:
    """A folder of this machine that has at least the records of the runs in `runs_root` that may be resumed."""
    if isinstance(runs_root, Path):
        yield runs_root
        return
    try:
        RemoteCopy(runs_root).fetch(f"*-{fingerprint[:6]}/{RECORD}")
        yield here(runs_root)
    finally:
        shutil.rmtree(here(runs_root), ignore_errors=True)


@contextmanager
def _sent(copy: RemoteCopy) -> Iterator[None]:
    """Locked for other machines, and at its place from the start, so that they find it."""
    with leased(copy.place):
        copy.fetch()
        copy.send()
        with copy.sent():
            yield


def _local(resume: str) -> str:
    """The copy of the run folder that `resume` names, if it is a URL."""
    if not is_remote(resume):
        return resume
    place = named(resume)
    RemoteCopy(place).fetch(RECORD)
    return str(here(place))


def _new(runs_root: Path, name: str, fingerprint: str, command: str) -> RunFolder:
    """The folder appears together with its record, by a rename."""
    began = datetime.now(UTC)
    draft = runs_root / f".{began:%Y%m%d-%H%M%S}-{os.getpid()}.partial"
    try:
        draft.mkdir(parents=True)
        RunFolder(draft).add_to_record(fingerprint=fingerprint, began=began.isoformat(), command=command)
        for attempt in range(100):
            path = runs_root / f"{began:%Y%m%d-%H%M%S}{f'.{attempt}' if attempt else ''}-{name}-{fingerprint[:6]}"
            if not path.exists() and _renamed(draft, path):
                return RunFolder(path)
    except OSError as error:
        raise RunError(f"{error.filename}: {error.strerror}; make room, or choose another runs_root") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    raise RunError(f"{runs_root}: a hundred runs of this name started in the same second")


def _renamed(draft: Path, path: Path) -> bool:
    """False if another process has just made `path`: with its record it is not empty."""
    try:
        draft.rename(path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _to_resume(runs_root: Path, resume: str, fingerprint: str) -> RunFolder | None:
    if resume == "never":
        return None
    if resume != "auto":
        folder = RunFolder(_named(runs_root, resume))
        if folder.record.get("fingerprint") != fingerprint:
            raise RunError(
                f"{shown(folder.path)}: has other settings, another number of ranks or other data; use the settings "
                "that it was started with (its run.json has the command), or resume=never"
            )
        if folder.finished:
            raise RunError(f"{shown(folder.path)}: is finished; its model is {shown(folder.model)}")
        return folder
    unfinished = [
        folder
        for folder in reversed(find_runs(runs_root, f"*-{fingerprint[:6]}"))
        if not folder.finished and folder.record.get("fingerprint") == fingerprint
    ]
    return unfinished[0] if unfinished else None


def _named(runs_root: Path, resume: str) -> Path:
    """Raises RunError if `resume` is the id of a run; the message then names its folder."""
    for path in runs_root.glob(f"*/{RECORD}") if "/" not in resume else ():
        if f'"{resume}"' in path.read_text(errors="replace"):
            raise RunError(f"resume={resume}: is a run id; use its folder: resume={path.parent}")
    return Path(resume)
