"""What every peer computes, as NumPy functions on one image: nine noises and a clean copy at 40 px, in rows of a table.

Nothing here is this project's code, and no image is handled twice: a peer is the script that somebody writes who has
NumPy, Pillow and that tool, with whole-array operations in float32 and the same Parquet settings as this project.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Noise = Callable[[Pixels, np.random.Generator], Pixels]
Render = Callable[[str], Iterable[tuple[str, Pixels]]]
"""The path of an image file → the name and the pixels of each variant."""

SIZE_PX = 40
WORKERS = 2
PARQUET: dict[str, Any] = {
    "compression": "zstd", "compression_level": -5, "use_dictionary": False, "write_statistics": False,
}  # fmt: skip
SCHEMA = pa.schema([("image_id", pa.string()), ("label", pa.int32()), ("variant", pa.string()), ("image", pa.binary())])


class Call(NamedTuple):
    """The arguments of a peer's script: a table (image_id, label, path), the folder for its Parquet files, and how many
    images a worker takes at a time."""

    images: pa.Table
    folder: Path
    images_per_task: int

    @property
    def tasks(self) -> list[pa.Table]:
        starts = range(0, len(self.images), self.images_per_task)
        return [self.images.slice(start, self.images_per_task) for start in starts]


def called() -> Call:
    images, folder, images_per_task = sys.argv[1:]
    return Call(pq.read_table(images), Path(folder), int(images_per_task))


def read_rgb(path: str) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def clean(image: Pixels, _: np.random.Generator) -> Pixels:
    return image


def gaussian(image: Pixels, rng: np.random.Generator, std_grey: float) -> Pixels:
    noisy = rng.standard_normal(image.shape, dtype=np.float32)
    noisy *= std_grey
    noisy += image
    return np.clip(np.rint(noisy, out=noisy), 0, 255, out=noisy).astype(np.uint8)


def periodic(image: Pixels, rng: np.random.Generator, peak_grey: float, period_px: float = 10.0) -> Pixels:
    vertical = rng.random() < 0.5
    x = 2 * np.pi * np.arange(image.shape[1 if vertical else 0]) / period_px
    wave = np.rint(peak_grey * (np.sin(x) + np.cos(x))).astype(np.int16)
    noisy = image + (wave[None, :, None] if vertical else wave[:, None, None])
    return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


def salt_pepper(image: Pixels, rng: np.random.Generator, fraction: float) -> Pixels:
    order = rng.random(image.shape[:2], dtype=np.float32)
    noisy = image.copy()
    noisy[order < fraction / 2] = 255
    noisy[order > 1 - fraction / 2] = 0
    return noisy


VARIANTS: dict[str, Noise] = {
    "clean": clean,
    "gaussian-min": partial(gaussian, std_grey=5.0),
    "gaussian-avg": partial(gaussian, std_grey=25.0),
    "gaussian-max": partial(gaussian, std_grey=50.0),
    "periodic-min": partial(periodic, peak_grey=12.5),
    "periodic-avg": partial(periodic, peak_grey=25.0),
    "periodic-max": partial(periodic, peak_grey=50.0),
    "salt_pepper-min": partial(salt_pepper, fraction=0.001),
    "salt_pepper-avg": partial(salt_pepper, fraction=0.002),
    "salt_pepper-max": partial(salt_pepper, fraction=0.004),
}


def crop_or_pad(image: Pixels) -> Pixels:
    """The centre of the image, with black around it where it is smaller."""
    top, left = (max(0, (side - SIZE_PX) // 2) for side in image.shape[:2])
    centre = image[top : top + SIZE_PX, left : left + SIZE_PX]
    height, width = centre.shape[:2]
    down, right = (SIZE_PX - height) // 2, (SIZE_PX - width) // 2
    square = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
    square[down : down + height, right : right + width] = centre
    return square


def render(path: str, rng: np.random.Generator) -> Iterator[tuple[str, Pixels]]:
    """Noise first, then the geometry, as in the paper: what is padded stays black."""
    image = read_rgb(path)
    for name, noise in VARIANTS.items():
        yield name, crop_or_pad(noise(image, rng))


def rows_of(images: pa.Table, variants_of: Render) -> pa.Table:
    """One row for each image and variant."""
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for row in images.to_pylist():
        for variant, pixels in variants_of(row["path"]):
            columns["image_id"].append(row["image_id"])
            columns["label"].append(row["label"])
            columns["variant"].append(variant)
            columns["image"].append(pixels.tobytes())
    return pa.table(columns, schema=SCHEMA)


def make_rows(images: pa.Table) -> pa.Table:
    return rows_of(images, partial(render, rng=np.random.default_rng()))


def write_part(task: tuple[int, pa.Table], folder: Path, make: Callable[[pa.Table], pa.Table]) -> None:
    """One Parquet file, by the process that makes its rows."""
    number, images = task
    pq.write_table(make(images), folder / f"part-{number:05d}.parquet", **PARQUET)
