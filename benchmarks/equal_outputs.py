"""Checks that what a tool has written is equal in kind to this project's data set of the same images."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from pipelines.datasets import FileReader, SourceImage
from pipelines.geometry import Roi
from pipelines.render.rendering import Original, Rendering
from pipelines.spark.frames import read_image
from pipelines.store.schema import CLEAN

__all__ = ["Expected", "expect", "faults_of"]

AT_ONCE = 500


class Change(NamedTuple):
    """How a variant differs from clean: by how many grey levels (root mean square), and in how many of all values."""

    rms_grey: float
    changed: int
    values: int

    @property
    def share(self) -> float:
        return self.changed / self.values

    @property
    def tolerance(self) -> float:
        """Relative: a tenth, and five standard deviations of the number of changed pixels, since every tool has draws
        of its own. Neighbouring levels differ by 1.4 times or more."""
        return 0.1 + 12 / sqrt(max(self.changed, 1))

    def admits(self, other: "Change") -> bool:
        pairs = ((other.rms_grey, self.rms_grey), (other.share, self.share))
        return all(abs(its - own) <= self.tolerance * own for its, own in pairs)

    def __str__(self) -> str:
        return f"{self.rms_grey:.2f} grey levels in {self.share:.2%} of the values"


class Expected(NamedTuple):
    """The images by their ids, their labels and clean pixels in that order, and the change of each variant."""

    places: dict[str, int]
    labels: NDArray[np.int32]
    clean: NDArray[np.uint8]
    changes: dict[str, Change]


class Sums:
    """Sums up the changes of variants, batch by batch."""

    def __init__(self) -> None:
        self.energy: defaultdict[str, float] = defaultdict(float)
        self.changed: defaultdict[str, int] = defaultdict(int)
        self.values: defaultdict[str, int] = defaultdict(int)

    def add(self, variant: str, pixels: NDArray[np.uint8], clean: NDArray[np.uint8]) -> None:
        difference = pixels.astype(np.int32) - clean
        self.energy[variant] += float(np.square(difference).sum())
        self.changed[variant] += int(np.count_nonzero(difference))
        self.values[variant] += difference.size

    def changes(self) -> dict[str, Change]:
        return {
            variant: Change(sqrt(self.energy[variant] / values), self.changed[variant], values)
            for variant, values in self.values.items()
        }


def expect(images: Sequence[SourceImage], rendering: Rendering) -> Expected:
    """What this project's own functions make of the images, without Spark and Parquet."""
    sums, cleans = Sums(), list[NDArray[np.uint8]]()
    for start in range(0, len(images), AT_ONCE):
        rendered = rendering.cell_rows(originals_of(images[start : start + AT_ONCE]))
        for rows in rendered:
            if rows.variant == CLEAN:
                cleans.append(rows.pixels)
            sums.add(rows.variant, rows.pixels, cleans[-1])
    places = {image.image_id: place for place, image in enumerate(images)}
    labels = np.array([image.label for image in images], np.int32)
    return Expected(places, labels, np.concatenate(cleans), sums.changes())


def originals_of(images: Sequence[SourceImage]) -> list[Original]:
    with FileReader() as reader:
        return [Original(image.image_id, read_image(reader, image.location), Roi(0, 0, 0, 0)) for image in images]


def faults_of(folder: Path, expected: Expected) -> list[str]:
    """Why the Parquet files in `folder` (image_id, label, variant, image) are not the expected ones; empty if they
    are."""
    sums, seen = Sums(), {variant: np.zeros(len(expected.labels), np.int64) for variant in expected.changes}
    for variant, rows in by_variant(folder):
        if fault := fault_of_rows(variant, rows, expected):
            return [fault]
        places = np.array([expected.places[one] for one in rows["image_id"].to_pylist()])
        np.add.at(seen[variant], places, 1)
        sums.add(variant, pixels_of(rows, expected.clean.shape[1]), expected.clean[places])
    faults = [
        f"{variant}: {(counts != 1).sum()} images are missing or there twice"
        for variant, counts in seen.items()
        if (counts != 1).any()
    ]
    return faults or [
        f"{variant}: changes by {change}, expected {expected.changes[variant]}"
        for variant, change in sums.changes().items()
        if not expected.changes[variant].admits(change)
    ]


def by_variant(folder: Path) -> Iterator[tuple[str, pa.Table]]:
    """The rows of one variant at a time; the variant is a column or in the names of folders."""
    data = ds.dataset(folder, format="parquet", partitioning="hive")
    for batch in data.to_batches(columns=["image_id", "label", "variant", "image"], batch_size=5 * AT_ONCE):
        rows = pa.Table.from_batches([batch])
        for variant in rows["variant"].unique().to_pylist():
            yield variant, rows.filter(ds.field("variant") == variant)


def fault_of_rows(variant: str, rows: pa.Table, expected: Expected) -> str | None:
    if variant not in expected.changes:
        return f"{variant}: not one of {', '.join(expected.changes)}"
    places = [expected.places.get(one) for one in rows["image_id"].to_pylist()]
    if None in places:
        return f"{variant}: an image_id that is not among the images"
    if (rows["label"].to_numpy() != expected.labels[np.array(places, np.int64)]).any():
        return f"{variant}: the label of another image"
    if {len(one) for one in rows["image"].to_pylist()} != {expected.clean.shape[1]}:
        return f"{variant}: an image is not {expected.clean.shape[1]:,} bytes"
    return None


def pixels_of(rows: pa.Table, image_bytes: int) -> NDArray[Any]:
    return np.frombuffer(b"".join(rows["image"].to_pylist()), np.uint8).reshape(-1, image_bytes)
