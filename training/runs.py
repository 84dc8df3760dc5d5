"""A run's folder on disk: where its checkpoint and its model lie, who holds it, and how an interrupted one is found."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.errors import RoadsignError
from training.locks import FolderError, held

__all__ = ["RunError", "RunFolder", "hold_run_folder"]

RECORD = "run.json"


class RunError(RoadsignError):
    """A run cannot be begun or gone on with."""


class RunFolder:
    """`checkpoint` and `model` are there when they have been written; `record` says what the run is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.pt"
        self.model = path / "model.pt"

    @property
    def record(self) -> dict[str, Any]:
        """Raises RunError."""
        try:
            found = json.loads((self.path / RECORD).read_text())
        except FileNotFoundError:
            raise RunError(f"{self.path}: no run; resume takes never, auto, or the folder of a run") from None
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / RECORD}: not readable ({error})") from None
        assert isinstance(found, dict)
        return found

    @property
    def finished(self) -> bool:
        return bool(self.record.get("finished"))

    def add_to_record(self, **facts: Any) -> None:
        path, partial = self.path / RECORD, self.path / f".{RECORD}.partial"
        partial.write_text(json.dumps({**(self.record if path.exists() else {}), **facts}, indent=1))
        partial.replace(path)


@contextmanager
def hold_run_folder(runs_root: Path, resume: str, name: str, fingerprint: str, command: str) -> Iterator[RunFolder]:
    """A new folder, or that of the run which `resume` asks for (recipe.TrainClassifier), held until the end: a second
    process cannot go on with the same run. Raises RunError."""
    folder = _to_resume(runs_root, resume, fingerprint) or _new(runs_root, name, fingerprint, command)
    try:
        with held(folder.path):
            yield folder
    except FolderError as error:
        why = "this run is being trained by another process; wait for it, or stop it" if error.busy else error.reason
        raise RunError(f"{folder.path}: {why}") from None


def _new(runs_root: Path, name: str, fingerprint: str, command: str) -> RunFolder:
    began = datetime.now(UTC)
    for attempt in range(100):
        path = runs_root / f"{began:%Y%m%d-%H%M%S}{f'.{attempt}' if attempt else ''}-{name}-{fingerprint[:6]}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise RunError(f"{error.filename}: {error.strerror}; choose another runs_root") from None
        folder = RunFolder(path)
        folder.add_to_record(fingerprint=fingerprint, began=began.isoformat(), command=command)
        return folder
    raise RunError(f"{runs_root}: a hundred runs of this name began in the same second")


def _to_resume(runs_root: Path, resume: str, fingerprint: str) -> RunFolder | None:
    if resume == "never":
        return None
    if resume != "auto":
        folder = RunFolder(Path(resume))
        if folder.record.get("fingerprint") != fingerprint:
            raise RunError(
                f"{resume}: is of other settings, another number of ranks or other data; give the settings that it "
                "began with (run.json there has the command), or resume=never"
            )
        if folder.finished:
            raise RunError(f"{resume}: has finished; its model is {folder.model}")
        return folder
    unfinished = [
        folder
        for folder in map(RunFolder, sorted(runs_root.glob(f"*-{fingerprint[:6]}"), reverse=True))
        if not folder.finished and folder.record.get("fingerprint") == fingerprint
    ]
    return unfinished[0] if unfinished else None
