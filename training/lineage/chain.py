"""The chain of a model: source → variants → run → weights → registered versions → decisions."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from pipelines.settings import PathOrName, Settings
from training.classifiers.trained import Classifier
from training.lineage.datasets import data_links
from training.lineage.links import LineageError, Link
from training.lineage.promotions import promotion_links
from training.tracking import FoundModel, History, RecordedRun, find_models

__all__ = ["ExplainModel", "chain_of"]

OUTSIDE = (".pt2", ".onnx")


class ExplainModel(Settings):
    """`model` is a reference as in tracking.find_models. `data_root`: the dataset's folder or URL, if it is not where
    the model was trained; None: where it was."""

    model: PathOrName
    data_root: PathOrName | None = None


def chain_of(settings: ExplainModel) -> list[Link]:
    """Raises TrackingError, UnreachableError, CheckpointError, and LineageError for a model from outside, of which
    nothing is recorded."""
    with TemporaryDirectory(prefix="roadsign-lineage-") as folder:
        (found,) = find_models([settings.model], folder=Path(folder))
        if found.path.suffix in OUTSIDE:
            raise LineageError(f"{settings.model}: a model from outside, of which nothing is recorded")
        classifier = Classifier.read(found.path, torch.device("cpu"))
        return list(_links(found, classifier, settings.data_root, Path(folder)))


def _links(found: FoundModel, classifier: Classifier, root: str | None, folder: Path) -> Iterator[Link]:
    about = classifier.about
    run_id = found.run_id or about.get("run_id")
    history = History()
    run = history.run(run_id) if run_id else None
    yield from data_links(run, about, root)
    yield _run(run, run_id)
    yield _model(found, classifier)
    if weights := about.get("weights"):
        yield Link("model", f"it started from {weights.get('file')}, SHA-256 {weights.get('sha256')}")
    for teacher in about.get("teachers", ()):
        yield Link("model", f"it was taught by the network {teacher}")
    if run is not None:
        yield from promotion_links(history, run.run_id, classifier.digest, folder)


def _run(run: RecordedRun | None, run_id: str | None) -> Link:
    if run_id is None:
        return Link("run", "the checkpoint does not say which run trained it", "missing")
    if run is None:
        return Link("run", f"{run_id}: the store at MLFLOW_TRACKING_URI does not know it", "missing")
    return Link("run", f"{run.run_id}, {run.name}, {run.status}; code {run.code or 'not recorded'}; {run.command}")


def _model(found: FoundModel, classifier: Classifier) -> Link:
    trained_by = classifier.about.get("run_id")
    if found.run_id and trained_by not in (None, found.run_id):
        return Link("model", f"{classifier.digest}, but its checkpoint says that run {trained_by} trained it", "broken")
    return Link("model", f"{classifier.digest}, the weights in {found.path.name}")
