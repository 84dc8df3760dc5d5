"""Tests on the real GTSRB, complete or the first images of each class, in the folder ROADSIGN_REAL_DATA."""

import os
import zipfile
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest
from fake_gtsrb import ARCHIVES
from PIL import Image as PillowImage
from pyspark.sql import SparkSession
from rich.console import Console

from pipelines.datasets.gtsrb import Gtsrb
from pipelines.datasets.gtsrb_card import CLASS_NAMES
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from pipelines.store.schema import SPLITS, Cell, Manifest

pytestmark = pytest.mark.real

WHOLE = {"train": 39_209, "test": 12_630}
COPIED_INTO_TEST = ("02291", "11906", "04548", "09384", "03594", "03546", "00666", "09575")
"""Test images that are pixel-identical to frames of training track 14/00023."""


@pytest.fixture(scope="module")
def root() -> Path:
    named = os.environ.get("ROADSIGN_REAL_DATA")
    if not named:
        pytest.skip("ROADSIGN_REAL_DATA is not set")
    return Path(named) / "GTSRB"


@pytest.fixture(scope="module")
def is_whole(root: Path) -> bool:
    return Counter(image.split for image in Gtsrb(root=root).listing().images) == WHOLE


@pytest.fixture(scope="module")
def made(
    spark: SparkSession,
    make_noisy_datasets: ModuleType,
    repository: Path,
    root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    return run(spark, make_noisy_datasets, repository, root, tmp_path_factory.mktemp("out"))


def run(spark: SparkSession, job: ModuleType, repository: Path, root: Path, output_root: Path) -> Path:
    overrides = [f"dataset.root={root}", f"output_root={output_root}", "sizes_px=[28,40]"]
    settings = load(NoisyDatasets, repository / "conf" / "make_noisy_datasets.yaml", overrides)
    job.make(spark, settings.dataset.listing(), settings, Console(quiet=True))
    return settings.dataset_folder


def digests(folder: Path) -> dict[str, str]:
    found = {
        path.parent.name + path.parents[1].name: Manifest.read(path.parent) for path in folder.rglob("_manifest.json")
    }
    return {name: manifest.content_digest for name, manifest in found.items() if manifest}


def test_every_image_is_listed_and_none_rejected(root: Path) -> None:
    listing = Gtsrb(root=root).listing()
    assert listing.rejected == []
    for split, most in WHOLE.items():
        images = [image for image in listing.images if image.split == split]
        assert 43 <= len(images) <= most
        assert {image.label for image in images} == set(range(len(CLASS_NAMES)))
    widths = [image.width_px for image in listing.images]
    assert min(widths) >= 25
    assert max(widths) <= 266


def test_all_variants_hold_all_images(made: Path, root: Path) -> None:
    listed = Counter(image.split for image in Gtsrb(root=root).listing().images)
    for path in made.rglob("_manifest.json"):
        manifest = Manifest.read(path.parent)
        assert manifest is not None
        assert set(manifest.counts) == set(SPLITS)
        assert manifest.counts["test"] == listed["test"]
        assert manifest.counts["train"] + manifest.counts["validation"] == listed["train"]
        assert set(manifest.counts_per_class["validation"]) == set(range(43))


def test_no_track_is_in_train_and_in_validation(made: Path) -> None:
    folder = Cell("crop_or_pad", 28, "clean").folder(made)
    tracks = {
        split: {image_id[:17] for image_id in pq.read_table(folder / f"split={split}")["image_id"].to_pylist()}
        for split in ("train", "validation")
    }
    assert tracks["train"].isdisjoint(tracks["validation"])
    assert len(tracks["train"]) >= len(tracks["validation"]) >= 43


def test_noise_has_the_strength_that_its_name_says(made: Path) -> None:
    """Clipping at 0 and 255 makes the change slightly weaker than 5, 25 and 50 grey levels."""
    for level, std_grey in (("min", 5), ("avg", 25), ("max", 50)):
        manifest = Manifest.read(Cell("crop_or_pad", 28, f"gaussian-{level}").folder(made))
        assert manifest is not None
        psnr_db = manifest.statistics["test"].psnr_db
        assert psnr_db is not None
        unclipped_db = 20 * np.log10(255 / std_grey)
        assert unclipped_db - 0.1 < psnr_db < unclipped_db + 2.5


def test_zips_and_kaggles_png_give_the_same_digests(
    spark: SparkSession,
    make_noisy_datasets: ModuleType,
    repository: Path,
    root: Path,
    made: Path,
    tmp_path: Path,
    is_whole: bool,
) -> None:
    if is_whole:
        pytest.skip("takes minutes on the whole; restore a few images of each class")
    write_zips(root, tmp_path / "zips")
    write_kaggle(root, tmp_path / "kaggle")
    for layout in ("zips", "kaggle"):
        again = run(spark, make_noisy_datasets, repository, tmp_path / layout, tmp_path / f"out-{layout}")
        assert digests(again) == digests(made), layout


def test_images_that_are_in_train_and_test_are_found(made: Path, is_whole: bool) -> None:
    if not is_whole:
        pytest.skip("needs the whole GTSRB")
    manifest = Manifest.read(Cell("crop_or_pad", 28, "clean").folder(made))
    assert manifest is not None
    groups = manifest.source["duplicates_across_splits"]
    assert {group[0] for group in groups} == {f"test/{number}" for number in COPIED_INTO_TEST}
    assert {group[1].rpartition("_")[0] for group in groups} == {"train/00014/00023"}


def write_zips(root: Path, target: Path) -> None:
    target.mkdir()
    annotations = root / "Final_Test" / "Images" / "GT-final_test.csv"
    for archive, folder in zip(ARCHIVES, ("Final_Training", "Final_Test"), strict=False):
        with zipfile.ZipFile(target / archive, "w") as opened:
            for path in (root / folder).rglob("*.*"):
                if path != annotations:
                    opened.write(path, Path("GTSRB") / path.relative_to(root))
    with zipfile.ZipFile(target / ARCHIVES[2], "w") as opened:
        opened.write(annotations, annotations.name)


def write_kaggle(root: Path, target: Path) -> None:
    listing = Gtsrb(root=root).listing()
    for split in ("train", "test"):
        lines = ["Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path"]
        for image in listing.images:
            if image.split != split:
                continue
            name = f"Test/{Path(image.path).stem}.png"
            if split == "train":
                name = f"Train/{image.label}/{image.label:05d}_{Path(image.path).stem}.png"
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            PillowImage.open(image.path).save(target / name)
            lines.append(",".join(map(str, (image.width_px, image.height_px, *image[-4:], image.label, name))))
        (target / f"{split.capitalize()}.csv").write_text("\n".join(lines) + "\n")
