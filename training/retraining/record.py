"""The record of a batch on disk, from which the next process can resume it."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import RoadsignError
from training.classifiers.trained import Classifier
from training.evaluation.classifiers.files import replacing
from training.loop.run_folder import RunFolder, find_runs
from training.tracking import Version

__all__ = ["BatchError", "Contender", "Decided", "Network", "RetrainingBatch"]

DECISION = "decision.json"


class BatchError(RoadsignError):
    """A batch cannot be resumed."""


class Decided(NamedTuple):
    """`champion` and `challenger` are version numbers; champion is None if there was none. `run_id` is the run that
    holds the table of the decision, `sha256` that of the decision's document (decision.document), and `clean_accuracy`
    the challenger's, with its interval, as text; both are empty in batches of earlier versions."""

    champion: str | None
    challenger: str
    promoted: bool
    sentence: str
    run_id: str
    sha256: str = ""
    clean_accuracy: str = ""


class Network(NamedTuple):
    """One trained seed."""

    run_id: str
    classifier: Classifier


class Contender(NamedTuple):
    """A registered version, and the networks of all its seeds: the first one is that of the version, which serves or
    would serve."""

    version: Version
    networks: tuple[Network, ...]

    @property
    def classifier(self) -> Classifier:
        return self.networks[0].classifier

    @property
    def size_px(self) -> int:
        return self.classifier.shape.size_px

    def facts(self) -> dict[str, object]:
        """For the decision's document: what identifies the networks wherever they were trained."""
        return {"version": self.version.number, "networks": [one.classifier.digest for one in self.networks]}


class RetrainingBatch:
    """<batch_id>/: seed-0/ … with the runs, evaluation/, decision.json and batch.json once there is a decision,
    `closed` once it has been carried out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    @property
    def closed(self) -> bool:
        """Whether the decision has been carried out."""
        return (self.folder / "closed").is_file()

    def close(self) -> None:
        """Raises BatchError."""
        try:
            (self.folder / "closed").touch()
        except OSError as error:
            raise BatchError(f"{self.folder}: cannot be written ({error.strerror}); make room there") from None

    @property
    def decided(self) -> Decided | None:
        """Raises BatchError, also if the decision's document is not the one that was decided."""
        path = self.folder / "batch.json"
        try:
            decided = Decided(**json.loads(path.read_text())["decided"])
            written = self.document.read_bytes() if decided.sha256 else b""
        except FileNotFoundError as error:
            if path.name == Path(error.filename).name:
                return None
            raise BatchError(f"{self.document}: missing; remove {path} to repeat the comparison") from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BatchError(f"{path}: not readable ({error}); remove it to repeat the comparison") from None
        if decided.sha256 and hashlib.sha256(written).hexdigest() != decided.sha256:
            raise BatchError(
                f"{self.document}: is not what was decided, its SHA-256 is not {decided.sha256}; remove {path} to "
                "repeat the comparison"
            )
        return decided

    @property
    def document(self) -> Path:
        """The file of the decision's document."""
        return self.folder / DECISION

    def keep_document(self, written: bytes) -> None:
        """Raises EvaluationError if the disk refuses."""
        with replacing(self.document) as partial:
            partial.write_bytes(written)

    def decide(self, decided: Decided) -> None:
        """Raises EvaluationError if the disk refuses."""
        with replacing(self.folder / "batch.json") as partial:
            partial.write_text(json.dumps({"decided": decided._asdict()}, indent=1))

    def runs_of(self, seed: int) -> Path:
        return self.folder / f"seed-{seed}"

    def finished_run(self, seed: int) -> RunFolder | None:
        """The run of this seed that has finished, or None."""
        return next((run for run in find_runs(self.runs_of(seed), "*") if run.finished), None)

    def overtaken(self) -> list[str]:
        """Ids of the tracked runs in which earlier batches were stopped, and which this batch does not resume."""
        runs = find_runs(self.folder.parent, "*/seed-*/*")
        others = (run for run in runs if self.folder not in run.path.parents)
        return [run.record["run_id"] for run in others if not run.finished and "run_id" in run.record]
