"""A GTSRB with a few random images, written in each common layout."""

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

COLUMNS = ("Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId")
ARCHIVES = ("GTSRB_Final_Training_Images.zip", "GTSRB_Final_Test_Images.zip", "GTSRB_Final_Test_GT.zip")

ITS_CLASSES = ("dataset.allow_missing_classes=true",)
"""For jobs: it has some of the 43 classes."""


class FakeImage(NamedTuple):
    """A training image is a frame of a track; a test image has no track and `frame` is its number."""

    split: Literal["train", "test"]
    label: int
    track: int
    frame: int
    pixels: NDArray[np.uint8]

    @property
    def image_id(self) -> str:
        if self.split == "test":
            return f"test/{self.frame:05d}"
        return f"train/{self.label:05d}/{self.track:05d}_{self.frame:05d}"

    @property
    def roi(self) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2: everything except a border of 3 pixels at the left, 4 at the top and 5 at the right and
        bottom."""
        height, width = self.pixels.shape[:2]
        return 3, 4, width - 6, height - 6

    @property
    def numbers(self) -> list[int]:
        """The numbers in the order of COLUMNS."""
        height, width = self.pixels.shape[:2]
        return [width, height, *self.roi, self.label]


def make_images(
    labels: Sequence[int] = (0, 14, 42), tracks: int = 2, frames: int = 3, tests: int = 4, seed: int = 0
) -> list[FakeImage]:
    """Random images of 15–40 px per side, each with a different size."""
    rng = np.random.default_rng(seed)

    def pixels() -> NDArray[np.uint8]:
        height, width = rng.integers(15, 41, 2)
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)

    training = [
        FakeImage("train", label, track, frame, pixels())
        for label in labels
        for track in range(tracks)
        for frame in range(frames)
    ]
    return training + [FakeImage("test", labels[number % len(labels)], 0, number, pixels()) for number in range(tests)]


def write_official(root: Path, images: Iterable[FakeImage]) -> None:
    """Final_Training and Final_Test, as the official archives unpack."""
    for name, data in official_files(images).items():
        write_file(root / name, data)


def write_zips(root: Path, images: Iterable[FakeImage]) -> None:
    """The three official archives as downloaded: members under GTSRB/, the test annotations alone at the root."""
    files = official_files(images)
    annotations = files.pop("Final_Test/Images/GT-final_test.csv")
    training = {name: data for name, data in files.items() if name.startswith("Final_Training/")}
    test = {name: data for name, data in files.items() if name.startswith("Final_Test/")}
    # the official archive of the test images has annotations without classes, under this name
    test["Final_Test/Images/GT-final_test.test.csv"] = b"Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2\r\n"
    write_zip(root / ARCHIVES[0], {f"GTSRB/{name}": data for name, data in training.items()})
    write_zip(root / ARCHIVES[1], {f"GTSRB/{name}": data for name, data in test.items()})
    write_zip(root / ARCHIVES[2], {"GT-final_test.csv": annotations})


def write_kaggle(root: Path, images: Iterable[FakeImage]) -> None:
    """Kaggle's copy: PNG, one annotation file per split, commas, Train/<class without zeros>/."""
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for image in images:
        path = f"Test/{image.frame:05d}.png"
        if image.split == "train":
            path = f"Train/{image.label}/{image.label:05d}_{image.track:05d}_{image.frame:05d}.png"
        write_file(root / path, encode(image.pixels, "PNG"))
        lines[image.split].append(",".join(map(str, [*image.numbers, path])))
    for split, name in (("train", "Train.csv"), ("test", "Test.csv")):
        write_file(root / name, ("\n".join([",".join([*COLUMNS, "Path"]), *lines[split]]) + "\n").encode())


def official_files(images: Iterable[FakeImage]) -> dict[str, bytes]:
    """Every file of the official layout, by its path."""
    files: dict[str, bytes] = {}
    lines: dict[str, list[str]] = {}
    for image in images:
        folder, name = "Final_Test/Images", f"{image.frame:05d}.ppm"
        annotations = f"{folder}/GT-final_test.csv"
        if image.split == "train":
            folder, name = f"Final_Training/Images/{image.label:05d}", f"{image.track:05d}_{image.frame:05d}.ppm"
            annotations = f"{folder}/GT-{image.label:05d}.csv"
        files[f"{folder}/{name}"] = encode(image.pixels, "PPM")
        lines.setdefault(annotations, [";".join(["Filename", *COLUMNS])])
        lines[annotations].append(";".join(map(str, [name, *image.numbers])))
    return files | {name: "".join(f"{line}\r\n" for line in rows).encode() for name, rows in lines.items()}


def encode(pixels: NDArray[np.uint8], file_format: str) -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(pixels).save(file, file_format)
    return file.getvalue()


def write_zip(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
