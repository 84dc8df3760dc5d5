"""The robustness report on real signs: noisy images, a network that has learned something, a page."""

import os
from itertools import islice
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
import torch
from pyspark.sql import SparkSession
from rich.console import Console
from run_here import RunHere
from small_runs import recipe

from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from training.augmentation.augmentation import Augmentation
from training.classifiers.run import make_training, open_splits
from training.loop.ranks import Ranks
from training.streams.stream import Data

pytestmark = pytest.mark.real

STRENGTHS = ("min", "avg", "max", "10", "35", "75", "100")


@pytest.fixture(scope="module")
def signs(
    spark: SparkSession, make_noisy_datasets: ModuleType, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    named = os.environ.get("ROADSIGN_REAL_DATA")
    if not named:
        pytest.skip("ROADSIGN_REAL_DATA is not set")
    variants = ",".join(["clean", *(f"{noise}-{level}" for noise in ("gaussian", "periodic") for level in STRENGTHS)])
    overrides = [
        f"dataset.root={Path(named) / 'GTSRB'}", f"output_root={tmp_path_factory.mktemp('out')}", "sizes_px=[28]",
        "noise=[paper,ladder]", f"variants=[{variants.replace('periodic-35', 'periodic-37.5')}]",
    ]  # fmt: skip
    settings = load(NoisyDatasets, repository / "conf" / "make_noisy_datasets.yaml", overrides)
    make_noisy_datasets.make(spark, settings.dataset.listing(), settings, Console(quiet=True))
    return settings.dataset_folder


def test_a_report_on_real_signs_finds_the_strengths_at_which_a_network_fails(
    signs: Path, tmp_path: Path, report_robustness: ModuleType, run_here: RunHere
) -> None:
    settings = recipe(
        signs, data=Data(root=str(signs), size_px=28), batch_size=64, epochs=1, lr=0.003, schedule="constant",
        augmentation=Augmentation(rotation_deg=5.0, contrast=0.1),
    )  # fmt: skip
    ranks = Ranks(torch.device("cpu"))
    training = make_training(settings, ranks, *open_splits(settings, ranks))
    while training.steps_taken < 150:
        for _ in islice(training.steps(), 150 - training.steps_taken):
            pass
        if training.step == len(training.train):
            training.finish_epoch()
    training.classifier({}).write(tmp_path / "network.pt")
    done = run_here(
        report_robustness, tmp_path, "models=network.pt", f"data.root={signs}", "failure.draws=100",
        "failure.class_draws=100", "hazards=gtsrb", "device=cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (page,) = tmp_path.glob("data/reports/*/report.html")
    assert page.stat().st_size < 5_000_000
    thresholds = pl.read_parquet(page.parent / "tables" / "thresholds.parquet")
    assert set(thresholds["noise"]) == {"gaussian", "periodic"}
    for row in thresholds.to_dicts():
        assert 0 <= row["low"] <= row["threshold"] <= row["high"], row
    assert (page.parent / "figures" / "first_signs.png").is_file()
    assert "is not recorded which images show one object" in done.stdout
