"""The recipes of the Parseval report's networks on real images: narrow ones, for some steps."""

import os
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest
import torch
from pyspark.sql import SparkSession
from rich.console import Console

from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from training.classifiers.run import make_training, open_splits
from training.classifiers.settings import TrainClassifier
from training.evaluation.classifiers.predicting import predict
from training.loop.ranks import Ranks

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    ("name", "recipe", "size_px", "steps", "chance"),
    [
        ("cifar10", "resnet18_cifar10", 32, 60, 0.1),
        ("cifar100", "resnet18_cifar100", 32, 100, 0.01),
        ("svhn", "resnet18_svhn", 32, 100, 0.1),
        ("tiny-imagenet-200-mini", "resnet18_tiny_imagenet_200", 64, 100, 0.02),
    ],
)
def test_it_learns(
    name: str, recipe: str, size_px: int, steps: int, chance: float, spark: SparkSession,
    make_noisy_datasets: ModuleType, repository: Path, tmp_path: Path,
) -> None:  # fmt: skip
    """Better than chance on unseen test images."""
    named = os.environ.get("ROADSIGN_REAL_DATA")
    if not named or not (Path(named) / name).is_dir():
        pytest.skip(f"ROADSIGN_REAL_DATA has no {name}")
    given = [f"dataset.root={Path(named) / name}", f"output_root={tmp_path}", f"sizes_px=[{size_px}]"]
    to_make = load(NoisyDatasets, repository / "conf" / "make_noisy_datasets.yaml", [*given, "variants=[clean]"])
    listing = to_make.dataset.listing()
    make_noisy_datasets.make(spark, listing, to_make, Console(file=sys.stdout, width=500))
    overrides = [f"model={recipe}", "model.width=8", f"data.root={to_make.dataset_folder}", "device=cpu", "cache=none"]
    settings = load(TrainClassifier, repository / "conf" / "train_classifier.yaml", overrides)
    ranks = Ranks(torch.device("cpu"))
    training = make_training(settings, ranks, *open_splits(settings, ranks))
    while training.steps_taken < steps:
        for _ in islice(training.steps(), steps - training.steps_taken):
            pass
        if training.step == len(training.train):
            training.finish_epoch()
    classifier = training.classifier({"card": listing.card.model_dump(mode="json")})
    found = predict({recipe: classifier}, settings.data, "test", ["clean"], torch.device("cpu"))[recipe, "clean"]
    assert found.right.mean() > 1.5 * chance, found.right.mean()
