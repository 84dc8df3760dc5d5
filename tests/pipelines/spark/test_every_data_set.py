"""Every data set through the main job: its pixels, card and groups."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image
from published_formats import (
    write_cifar10,
    write_cifar100,
    write_image_folder,
    write_mnist,
    write_svhn,
    write_tiny_imagenet,
)
from pyspark.sql import SparkSession
from rich.console import Console

from pipelines.datasets import detect_kind
from pipelines.errors import SourceError, StoreError
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from pipelines.store.schema import Cell, Manifest

Pixels = dict[str, NDArray[np.uint8]]
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(spark: SparkSession, make_noisy_datasets: ModuleType, repository: Path) -> Make:
    """Runs the job's body on a folder of any recognized kind; returns the dataset's folder."""

    def run(root: Path, output_root: Path, *overrides: str) -> Path:
        arguments = [f"dataset.root={root}", f"output_root={output_root}", "sizes_px=[32]", *overrides]
        settings = load(NoisyDatasets, repository / "conf" / "make_noisy_datasets.yaml", arguments)
        make_noisy_datasets.make(spark, settings.dataset.listing(), settings, Console(file=sys.stdout, width=500))
        return settings.dataset_folder

    return run


def mnist(root: Path, test_labels: list[int]) -> Pixels:
    images = write_mnist(root, {"train": [1, 2, 1, 2, 1, 2], "t10k": test_labels})
    parts = {"train": images["train"], "test": images["t10k"]}
    return {
        f"{split}/{number:06d}": np.pad(image, 2)[..., None]
        for split, found in parts.items()
        for number, image in enumerate(found)
    }


def cifar10(root: Path) -> Pixels:
    images, _ = write_cifar10(root)
    train = len(images) * 5 // 6
    return {
        (f"train/{number:06d}" if number < train else f"test/{number - train:06d}"): image
        for number, image in enumerate(images)
    }


def cifar100(root: Path) -> Pixels:
    written = write_cifar100(root)
    return {
        f"{split}/{number:06d}": image for split, (found, *_) in written.items() for number, image in enumerate(found)
    }


def svhn(root: Path) -> Pixels:
    written = write_svhn(root, {"train": [10, 1, 10, 1, 3], "test": [3, 10]})
    return {f"{part}/{number:06d}": image for part, found in written.items() for number, image in enumerate(found)}


def image_folder(root: Path) -> Pixels:
    names = [f"{name}/{number}.png" for name in ("left", "right") for number in range(5)]
    write_image_folder(root, *names)
    return {name: np.pad(np.asarray(Image.open(root / name)), ((8, 8), (8, 8), (0, 0))) for name in names}


WRITERS: dict[str, Callable[[Path], Pixels]] = {
    "mnist": lambda root: mnist(root, [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]),
    "fashion_mnist": lambda root: mnist(root, [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]),
    "cifar10": cifar10,
    "cifar100": cifar100,
    "svhn": svhn,
    "image_folder": image_folder,
}


def rows_of(root: Path, variant: str = "clean") -> tuple[Manifest, list[dict[str, object]]]:
    folder = Cell("crop_or_pad", 32, variant).folder(root)
    manifest = Manifest.read(folder)
    assert manifest is not None
    return manifest, [row for part in manifest.parts for row in pq.read_table(folder / part.path).to_pylist()]


@pytest.mark.parametrize("kind", WRITERS)
def test_the_stored_pixels_are_those_of_the_files(kind: str, make: Make, tmp_path: Path) -> None:
    written = WRITERS[kind](tmp_path / "raw")
    assert detect_kind({"root": tmp_path / "raw"}) == kind
    manifest, rows = rows_of(make(tmp_path / "raw", tmp_path / "made", "variants=[clean]"))
    channels = manifest.card.channels
    stored = {row["image_id"]: np.frombuffer(row["image"], np.uint8) for row in rows}
    assert stored.keys() == written.keys()
    for image_id, pixels in stored.items():
        assert np.array_equal(pixels.reshape(32, 32, channels), written[image_id]), image_id
    assert all(row["group"] == row["image_id"] for row in rows)
    assert len(manifest.statistics["train"].channel_mean) == channels
    assert manifest.source["kind"] == kind


def test_tiny_imagenet_is_recognized_and_its_val_is_test(make: Make, tmp_path: Path) -> None:
    write_tiny_imagenet(tmp_path / "raw")
    root = make(tmp_path / "raw", tmp_path / "made", "variants=[clean]")
    manifest, rows = rows_of(root)
    assert root.name == "tiny_imagenet_200" and manifest.counts["test"] == 8
    assert sorted({row["label"] for row in rows}) == list(range(manifest.card.num_classes))


def test_every_noise_and_geometry_takes_images_of_one_channel(make: Make, tmp_path: Path) -> None:
    WRITERS["mnist"](tmp_path / "raw")
    for geometry in ("crop_or_pad", "resize", "roi_resize"):
        root = make(tmp_path / "raw", tmp_path / geometry, "noise=[paper,proposal]", f"geometry={geometry}")
        variants = sorted(folder.name for folder in root.glob("geometry=*/size_px=32/variant=*"))
        assert len(variants) == 25
        for folder in root.glob("geometry=*/size_px=32/variant=*"):
            manifest = Manifest.read(folder)
            assert manifest is not None and manifest.card.channels == 1
            (metadata,) = {
                tuple(sorted(pq.read_schema(folder / part.path).metadata.items())) for part in manifest.parts
            }
            assert dict(metadata)[b"layout"] == b"HWC grey" and dict(metadata)[b"channels"] == b"1"


def test_a_group_with_images_of_two_classes_is_in_one_split(make: Make, tmp_path: Path) -> None:
    names = [f"{mask}/{face}{mask}.png" for face in range(40) for mask in ("with", "without")]
    write_image_folder(tmp_path / "faces", *names)
    root = make(
        tmp_path / "faces", tmp_path / "made", "variants=[clean]", "dataset.kind=image_folder", "dataset.hflip=all",
        "dataset.group_pattern=^(?P<group>[0-9]+)",
    )  # fmt: skip
    manifest, _ = rows_of(root)
    folder = Cell("crop_or_pad", 32, "clean").folder(root)
    splits: dict[str, set[str]] = {}
    for part in manifest.parts:
        for row in pq.read_table(folder / part.path, columns=["image_id", "group"]).to_pylist():
            assert Path(row["image_id"]).name.startswith(row["group"])
            splits.setdefault(row["group"], set()).add(part.split)
    assert len(splits) == 40 and all(len(found) == 1 for found in splits.values())
    assert manifest.counts == {"train": 52, "validation": 12, "test": 16}
    assert manifest.card.hflip == {0: 0, 1: 1} and manifest.card.vflip == {}


def test_two_image_folders_are_stored_separately_and_a_third_of_the_same_name_is_refused(
    make: Make, tmp_path: Path
) -> None:
    write_image_folder(tmp_path / "one", *(f"{name}/{n}.png" for name in ("a", "b") for n in range(5)))
    write_image_folder(tmp_path / "two", *(f"{name}/{n}.png" for name in ("c", "d") for n in range(5)))
    first = make(tmp_path / "one", tmp_path / "made", "variants=[clean]")
    second = make(tmp_path / "two", tmp_path / "made", "variants=[clean]")
    assert {first.name, second.name} == {"one", "two"}
    before = rows_of(first)
    named = ("dataset.kind=image_folder", "dataset.name=one", "variants=[clean]")
    with pytest.raises(StoreError, match=r"contains .*one.*; set dataset\.name or output_root"):
        make(tmp_path / "two", tmp_path / "made", *named)
    assert rows_of(first) == before


def test_the_error_for_an_unrecognized_folder_lists_its_contents(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(SourceError, match=r"contains no folders and 1 file \(notes\.txt\), which none of gtsrb, "):
        load(NoisyDatasets, repository / "conf" / "make_noisy_datasets.yaml", [f"dataset.root={tmp_path}"])
