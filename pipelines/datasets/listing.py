"""The listing of a source: its images and unusable files, before any image is opened."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pipelines.datasets.card import DatasetCard, Split
from pipelines.places import is_remote, stamps

__all__ = ["Listing", "Location", "Rejected", "SourceImage"]


class Location(NamedTuple):
    """Where an image is: the file `path`, or the member `path` of the zip `archive`. With an `index` it is the image at
    that index (from 0) in the container `path`."""

    archive: str
    path: str
    index: int | None = None  # type: ignore[assignment]  # hides tuple.index, which is not used

    def __str__(self) -> str:
        file = f"{self.archive}!{self.path}" if self.archive else self.path
        return file if self.index is None else f"{file}[{self.index}]"


class SourceImage(NamedTuple):
    """One image of a source, with flat fields so that it can be a row of a Spark frame.

    `group` identifies the object that the image shows; all images of a group must be in the same split. With None the
    image is its own group. Size and region of interest are from the annotation, to be checked against the image itself,
    or None without an annotation."""

    image_id: str
    label: int
    split: Split
    group: str | None
    archive: str
    path: str
    index: int | None = None  # type: ignore[assignment]  # hides tuple.index, which is not used
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
        """The unit of splitting and resampling: the image's group, or the image itself."""
        return self.group or self.image_id


class Rejected(NamedTuple):
    """An image or annotation line that cannot be used, and the reason."""

    source: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """`found` describes what was found and where. `rejected` lists images and annotations that should be usable but are
    not; `left_out` has sentences about files that are not used by design."""

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
        """Everything to report to the user: files that are left out, differences from the publisher's numbers, and
        classes without an image."""
        differences = self.card.differences(self.counts, len({image.group for image in self.images if image.group}))
        remarks = [*self.left_out, *([differences] if differences else [])]
        for split, labels in self.missing_classes().items():
            remarks.append(f"no {split} image of class {', '.join(map(str, labels))}")
        return remarks

    def missing_classes(self) -> dict[Split, list[int]]:
        """The labels on the card that have no image, for train and test; a split that lacks none is omitted."""
        there = {(image.split, image.label) for image in self.images}
        splits: tuple[Split, ...] = ("train", "test")
        missing = {split: [n for n in range(self.card.num_classes) if (split, n) not in there] for split in splits}
        return {split: labels for split, labels in missing.items() if labels}

    def state(self) -> str:
        """A digest of the listing and of every file's size and modification time (in an object store, its ETag); it
        changes whenever one of them does. Raises StoreError."""
        digest = hashlib.sha256(self.card.model_dump_json().encode())
        for entry in (*self.images, *self.rejected):
            digest.update(f"{entry}\n".encode())
        paths = {image.archive or image.path for image in self.images}
        for path, stamp in stamps(filter(is_remote, paths)).items():
            digest.update(f"{path} {stamp}\n".encode())
        for path in sorted(path for path in paths if not is_remote(path)):
            try:
                status = Path(path).stat()
                digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
            except OSError as error:  # for example a broken link, which is rejected when it is opened
                digest.update(f"{path} {error.strerror}\n".encode())
        return digest.hexdigest()
