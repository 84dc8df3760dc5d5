"""Comparison of new images with those that the champion was trained on: keeping the profile of a training, and the
report."""

import tempfile
from pathlib import Path

import pyarrow.csv
import torch

from pipelines.datasets import Listing
from pipelines.errors import RoadsignError
from training.classifiers.trained import Classifier
from training.evaluation.classifiers.files import replacing
from training.evaluation.classifiers.predicting import torch_device
from training.loop.run_folder import RunFolder
from training.retraining.drift.measures import Report
from training.retraining.drift.profile import PROFILE, Profile, compare
from training.retraining.drift.training_images import signs_of
from training.retraining.settings import Retrain
from training.streams.stream import Data
from training.tracking import find_file, reopened_run

__all__ = ["DriftedError", "find_drift", "find_profile", "keep_profile", "write_report"]

FOLDER = "checkpoint"
"""The artefact folder of a run, which also holds its model."""


class DriftedError(RoadsignError):
    """New images differ too much from those that the champion was trained on, and on_drift=block."""

    exit_code = 3


def keep_profile(settings: Retrain, root: Path, listing: Listing, run: RunFolder, classifier: Classifier) -> None:
    """Writes the profile next to the model of the run, on disk and in MLflow. Raises RoadsignError."""
    path = run.path / PROFILE
    if not path.is_file():
        data = Data(root=str(root), geometry=settings.geometry, size_px=settings.size_px)
        Profile.of(classifier, data, signs_of(listing.images), _device(settings)).write(path)
    with reopened_run(run.path, str(run.record["run_id"])) as tracked:
        tracked.log_file(path, FOLDER)


def find_drift(settings: Retrain, root: Path, listing: Listing, champion: Classifier, run_id: str) -> Report | None:
    """None if no image is new, or if the run of the champion has no profile. Raises RoadsignError."""
    profile = find_profile(run_id)
    if profile is None:
        return None
    data = Data(root=str(root), geometry=settings.geometry, size_px=champion.shape.size_px)
    return compare(settings.drift, profile, champion, data, signs_of(listing.images), _device(settings))


def find_profile(run_id: str) -> Profile | None:
    """What a run was trained on; None if it has no profile. Raises RoadsignError."""
    with tempfile.TemporaryDirectory() as folder:
        path = find_file(run_id, f"{FOLDER}/{PROFILE}", Path(folder))
        return None if path is None else Profile.read(path)


def write_report(report: Report, folder: Path) -> Path:
    """Raises EvaluationError if the disk refuses."""
    path = folder / "drift.csv"
    with replacing(path) as partial:
        pyarrow.csv.write_csv(report.table, partial)
    return path


def _device(settings: Retrain) -> torch.device:
    return torch_device(settings.device)
