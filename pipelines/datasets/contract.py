"""What every source is: a frozen object that lists its images and, where many lie in one file, opens that file."""

import hashlib
from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.card import DatasetCard, Split
from pipelines.datasets.decoding import UnreadableImageError
from pipelines.datasets.listing import Rejected
from pipelines.datasets.published import Published
from pipelines.noise.contract import Image
from pipelines.settings import Settings

__all__ = ["Containers", "ImageSource", "Images", "Listing", "Location", "Rejected", "SourceImage"]

Images = NDArray[np.uint8]
"""N × height × width × channels, 0–255; may be a view into a file on disk."""


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
        """What a user must be told: what is left out, and what differs from the publisher's numbers."""
        return [*self.left_out, *self.card.differences(self.counts)]

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


class ImageSource(Settings):
    """`kind` is a field of each source and its key in the menu."""

    published: ClassVar[Published | None] = None
    root: Path

    @property
    @abstractmethod
    def dataset_name(self) -> str:
        """The name on the card, known without a look at the disk."""

    @abstractmethod
    def listing(self) -> Listing:
        """Every image, without opening one; label files and headers are read. Raises SourceError where the data set is
        not there, or only a part of it."""

    @classmethod
    @abstractmethod
    def recognise(cls, root: Path) -> str | None:
        """What was seen under `root` that only this source has, or None. Cheap; damaged files are none of its."""

    def open_container(self, path: str) -> Images:
        """All images of the container `path`, for locations with an index. Raises SourceError."""
        raise NotImplementedError(f"{type(self).__name__} has no containers")


class Containers:
    """Images by their number in containers, each of which is opened once. One for each Spark task."""

    def __init__(self, source: ImageSource) -> None:
        self._source = source
        self._opened: dict[str, Images] = {}

    def read(self, location: Location) -> Image:
        """One image of its own memory, height × width × channels. Raises SourceError for a damaged container and
        UnreadableImageError for an index that is not in it."""
        assert location.index is not None, location
        if location.path not in self._opened:
            self._opened[location.path] = self._source.open_container(location.path)
        images = self._opened[location.path]
        if not 0 <= location.index < len(images):
            raise UnreadableImageError(f"{location.path} holds {len(images):,} images, none of number {location.index}")
        return np.array(images[location.index], order="C")

    def close(self) -> None:
        self._opened.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
