"""What every source is: a frozen object that lists its images and, where many lie in one file, opens that file."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.decoding import UnreadableImageError
from pipelines.datasets.listing import Listing, Location
from pipelines.datasets.published import Published
from pipelines.errors import SourceError
from pipelines.noise.contract import Image
from pipelines.settings import LocalPath, Settings

__all__ = ["Containers", "ImageSource", "Images"]

Images = NDArray[np.uint8]
"""N × height × width × channels, 0–255; may be a view into a file on disk."""


class ImageSource(Settings):
    """`kind` is the source's key in the menu."""

    published: ClassVar[Published | None] = None
    kind: str
    root: LocalPath

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
        self._opened: dict[str, Images | str] = {}

    def read(self, location: Location) -> Image:
        """One image of its own memory, height × width × channels. Raises SourceError for a damaged container and
        UnreadableImageError for an index that is not in it."""
        assert location.index is not None, location
        if location.path not in self._opened:
            self._opened[location.path] = self._open(location.path)
        images = self._opened[location.path]
        if isinstance(images, str):
            raise SourceError(images)
        if not 0 <= location.index < len(images):
            raise UnreadableImageError(f"{location.path} holds {len(images):,} images, none of number {location.index}")
        return np.array(images[location.index], order="C")

    def _open(self, path: str) -> Images | str:
        """The images, or the error of a damaged container, which is kept too: it may be asked for thousands of them."""
        try:
            return self._source.open_container(path)
        except SourceError as error:
            return str(error)

    def close(self) -> None:
        self._opened.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
