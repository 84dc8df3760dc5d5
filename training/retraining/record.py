"""What is kept of a batch on disk, so that the next process can go on with it."""

import json
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import RoadsignError
from training.classifiers.trained import Classifier
from training.evaluation.classifiers.files import replacing
from training.loop.run_folder import RunFolder, find_runs
from training.tracking import Version

__all__ = ["BatchError", "Contender", "Decided", "RetrainingBatch"]


class BatchError(RoadsignError):
    """A batch cannot be gone on with."""


class Decided(NamedTuple):
    """`champion` and `challenger` are numbers of versions; no champion where there was none. `run_id` is the run that
    holds the decision's table."""

    champion: str | None
    challenger: str
    promoted: bool
    sentence: str
    run_id: str


class Contender(NamedTuple):
    """A registered version, read."""

    version: Version
    classifier: Classifier


class RetrainingBatch:
    """<batch_id>/: seed-0/ … with the runs, evaluation/, batch.json once it is decided, `closed` once that is done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    @property
    def closed(self) -> bool:
        """What was decided has been carried out."""
        return (self.folder / "closed").is_file()

    def close(self) -> None:
        """Raises BatchError."""
        try:
            (self.folder / "closed").touch()
        except OSError as error:
            raise BatchError(f"{self.folder}: cannot be written ({error.strerror}); make room there") from None

    @property
    def decided(self) -> Decided | None:
        """Raises BatchError."""
        path = self.folder / "batch.json"
        try:
            return Decided(**json.loads(path.read_text())["decided"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BatchError(f"{path}: not readable ({error}); remove it, then the comparison is made again") from None

    def decide(self, decided: Decided) -> None:
        """Raises EvaluationError where the disk refuses."""
        with replacing(self.folder / "batch.json") as partial:
            partial.write_text(json.dumps({"decided": decided._asdict()}, indent=1))

    def runs_of(self, seed: int) -> Path:
        return self.folder / f"seed-{seed}"

    def finished_run(self, seed: int) -> RunFolder | None:
        """The one that was trained to its end."""
        return next((run for run in find_runs(self.runs_of(seed), "*") if run.finished), None)

    def overtaken(self) -> list[str]:
        """Ids of the tracked runs that earlier batches were stopped at, and that this one does not go on with."""
        runs = find_runs(self.folder.parent, "*/seed-*/*")
        others = (run for run in runs if self.folder not in run.path.parents)
        return [run.record["run_id"] for run in others if not run.finished and "run_id" in run.record]
