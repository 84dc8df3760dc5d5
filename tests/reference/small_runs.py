"""A training that takes seconds: settings, and a dataset of noise that a network can memorize."""

from pathlib import Path
from typing import Any

import torch
from small_datasets import Small

from training.augmentation.augmentation import Augmentation
from training.classifiers.run import make_training, open_splits
from training.classifiers.settings import TrainClassifier
from training.classifiers.training import ClassifierTraining
from training.loop.ranks import Ranks
from training.models.baseline_cnn import BaselineCnn
from training.streams.stream import Data
from training.tracking import Tracking

STILL = Augmentation(rotation_deg=0.0, contrast=0.0, flips="none")


def write_dataset(root: Path, **fields: Any) -> Path:
    small: dict[str, Any] = {
        "parts": {"train": [[40, 30], [24]], "validation": [[20]], "test": [[20]]},
        "size_px": 8,
    }
    return Small(**{**small, **fields}).write(root)


def recipe(root: Path, **fields: Any) -> TrainClassifier:
    """Settings with dropout and augmentation, so that everything random takes part."""
    values: dict[str, Any] = {
        "model": BaselineCnn(dropout=0.25),
        "data": Data(root=str(root), size_px=8),
        "augmentation": Augmentation(shift_fraction=0.1),
        "epochs": 2,
        "lr": 0.01,
        "schedule": "one_cycle",
        "batch_size": 16,
        "keep": "last",
        "seed": 3,
        "device": "cpu",
        "runs_root": root / "runs",
        "tracking": Tracking(system_metrics_every_s=0.0),
    }
    return TrainClassifier.model_construct(**{**values, **fields})


def training(settings: TrainClassifier) -> ClassifierTraining:
    ranks = Ranks(torch.device("cpu"))
    train, validation = open_splits(settings, ranks)
    return make_training(settings, ranks, train, validation)


def run_epochs(to_train: ClassifierTraining, epochs: int) -> ClassifierTraining:
    while to_train.epoch < epochs:
        for _ in to_train.steps():
            pass
        to_train.finish_epoch()
    return to_train


def stop_after(to_train: ClassifierTraining, steps: int) -> ClassifierTraining:
    """Stops as a run does that is killed when so many steps are done."""
    taken = 0
    while taken < steps:
        for _ in to_train.steps():
            taken += 1
            if taken == steps:
                return to_train
        to_train.finish_epoch()
    return to_train
