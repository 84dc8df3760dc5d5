"""The networks of a registered version, and the images that they were trained on."""

import tempfile
from pathlib import Path

import torch
from rich.console import Console

from training.classifiers.trained import Classifier
from training.retraining.drift.detection import find_profile
from training.retraining.record import Contender, Network
from training.tracking import TrackingError, UnreachableError, Version, find_models

__all__ = ["find_contender", "trained_on"]

CPU = torch.device("cpu")


def find_contender(version: Version, console: Console) -> Contender:
    """The version with the networks of all its seeds. Other seeds than its own whose run is gone are left out, with a
    warning. Raises TrackingError, UnreachableError, CheckpointError."""
    networks = [_network(version.run_id)]
    for run_id in version.seed_runs:
        if run_id == version.run_id:
            continue
        try:
            networks.append(_network(run_id))
        except UnreachableError:
            raise
        except TrackingError as error:
            console.print(f"warning: version {version.number} is compared without one of its seeds: {error}")
    return Contender(version, tuple(networks))


def trained_on(champion: Contender) -> frozenset[str] | None:
    """The ids of the images that the champion was trained on, None if its run has no profile. Raises RoadsignError."""
    profile = find_profile(champion.version.run_id)
    return None if profile is None else frozenset(profile.table["image_id"].to_pylist())


def _network(run_id: str) -> Network:
    with tempfile.TemporaryDirectory() as folder:
        (found,) = find_models([run_id], folder=Path(folder))
        return Network(run_id, Classifier.read(found.path, CPU))
