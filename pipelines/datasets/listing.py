"""What a source says it holds, before any image is opened."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pipelines.datasets.card import DatasetCard, Split

__all__ = ["Listing", "Location", "Rejected", "SourceImage"]


class Location(NamedTuple):
    """Where an image is: the file `path`, or the member `path` of the zip `archive`; with an `index`, the image of that
    number (from 0) inside the container `path`."""

    archive: str
    path: str
    index: int | None = None  # type: ignore[assignment]  # hides tuple.index, which nobody needs here

    def __str__(self) -> str:
        file = f"{self.archive}!{self.path}" if self.archive else self.path
        return file if self.index is None else f"{file}[{self.index}]"


class SourceImage(NamedTuple):
    """One image of a source, in flat columns so that it can be a row of a Spark frame.

    `group` names the object that the image shows; images of one group must not be on both sides of a split. None: the
    image is a group of its own. Size and region of interest are those of an annotation, to be checked against the image
    itself, or None where there is no annotation."""

    image_id: str
    label: int
    split: Split
    group: str | None
    archive: str
    path: str
    index: int | None = None  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    width_px: int | None = None
    height_px: int | None = None
    roi_x1: int | None = None
    roi_y1: int | None = None
    roi_x2: int | None = None
    roi_y2: int | None = None

    @property
    def location(self) -> Location:
        return Location(self.archive, self.path, self.index)

    @property
    def unit(self) -> str:
        """The name of the object that the image shows: its group, or itself."""
        return self.group or self.image_id


class Rejected(NamedTuple):
    """An image, or a line of an annotation, that cannot be used, and why."""

    source: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """`found` says in words what was found where; `left_out` in sentences what is there and is not used, which is not
    the same as an image or annotation that should be usable and is not (`rejected`)."""

    found: str
    card: DatasetCard
    images: list[SourceImage] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[Split, int]:
        return dict(Counter(image.split for image in self.images))

    @property
    def remarks(self) -> list[str]:
        """What a user must be told: what is left out, what differs from the publisher's numbers, and classes without an
        image."""
        differences = self.card.differences(self.counts, len({image.group for image in self.images if image.group}))
        remarks = [*self.left_out, *([differences] if differences else [])]
        for split, labels in self.missing_classes().items():
            remarks.append(f"no {split} image of class {', '.join(map(str, labels))}")
        return remarks

    def missing_classes(self) -> dict[Split, list[int]]:
        """The labels of the card without an image, for train and test where there is any."""
        there = {(image.split, image.label) for image in self.images}
        splits: tuple[Split, ...] = ("train", "test")
        missing = {split: [n for n in range(self.card.num_classes) if (split, n) not in there] for split in splits}
        return {split: labels for split, labels in missing.items() if labels}

    def state(self) -> str:
        """A digest of all that is listed and of every file's size and time of change: while it is the same, nothing has
        changed."""
        digest = hashlib.sha256(self.card.model_dump_json().encode())
        for entry in (*self.images, *self.rejected):
            digest.update(f"{entry}\n".encode())
        for path in sorted({image.archive or image.path for image in self.images}):
            try:
                status = Path(path).stat()
                digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
            except OSError as error:  # a broken link, say: it is rejected when it is opened
                digest.update(f"{path} {error.strerror}\n".encode())
        return digest.hexdigest()
