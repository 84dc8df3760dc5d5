"""The baseline CNN on real copies of other data sets: the main job, some steps of training, an evaluation."""

import os
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest
import torch
from pyspark.sql import SparkSession
from rich.console import Console
from small_runs import recipe

from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from training.augmentation.augmentation import Augmentation
from training.classifiers.run import make_training, open_splits
from training.evaluation.classifiers.predicting import predict
from training.loop.ranks import Ranks
from training.streams.stream import Data

pytestmark = pytest.mark.real

FACES = "dataset.group_pattern=^(?P<group>[0-9]+|augmented_image_[0-9]+)"


@pytest.mark.parametrize(
    ("name", "size_px", "steps", "chance", "overrides"),
    [
        ("mnist", 32, 150, 0.1, ()),
        ("cifar10", 32, 150, 0.1, ()),
        ("tiny-imagenet-200-mini", 64, 60, 0.02, ()),
        ("face-mask-mini", 75, 60, 0.5, ("dataset.hflip=all", FACES)),
    ],
)
def test_it_learns_from_the_images_that_the_job_has_stored(
    name: str, size_px: int, steps: int, chance: float, overrides: tuple[str, ...], spark: SparkSession,
    make_noisy_datasets: ModuleType, repository: Path, tmp_path: Path,
) -> None:  # fmt: skip
    """Better than chance on unseen test images, with the classes on the data set's card."""
    named = os.environ.get("ROADSIGN_REAL_DATA")
    if not named or not (Path(named) / name).is_dir():
        pytest.skip(f"ROADSIGN_REAL_DATA has no {name}")
    given = [f"dataset.root={Path(named) / name}", f"output_root={tmp_path}", f"sizes_px=[{size_px}]", *overrides]
    if name == "face-mask-mini":
        given.append("dataset.kind=image_folder")
    settings = load(
        NoisyDatasets, repository / "conf" / "make_noisy_datasets.yaml", [*given, "variants=[clean,gaussian-max]"]
    )
    listing = settings.dataset.listing()
    make_noisy_datasets.make(spark, listing, settings, Console(file=sys.stdout, width=500))
    root = settings.dataset_folder
    data = Data(root=str(root), size_px=size_px)
    training_settings = recipe(
        root, data=data, batch_size=64, epochs=1, lr=0.002, schedule="constant",
        augmentation=Augmentation(rotation_deg=5.0, contrast=0.1),
    )  # fmt: skip
    ranks = Ranks(torch.device("cpu"))
    training = make_training(training_settings, ranks, *open_splits(training_settings, ranks))
    while training.steps_taken < steps:
        for _ in islice(training.steps(), steps - training.steps_taken):
            pass
        if training.step == len(training.train):
            training.finish_epoch()
    classifier = training.classifier({"card": listing.card.model_dump(mode="json")})
    found = predict({"cnn": classifier}, data, "test", ["clean", "gaussian-max"], torch.device("cpu"))
    assert classifier.shape.channels == listing.card.channels
    assert found["cnn", "clean"].class_names == listing.card.class_names
    accuracy = found["cnn", "clean"].right.mean()
    assert accuracy > 1.3 * chance, accuracy
