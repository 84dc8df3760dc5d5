"""The contract of sources: a frozen object that lists its images and, if one file holds many of them, opens that
file."""

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
from pipelines.settings import Settings, StorePath

__all__ = ["Containers", "ImageSource", "Images"]

Images = NDArray[np.uint8]
"""N × height × width × channels, 0–255; may be a view of a memory-mapped file."""


class ImageSource(Settings):
    """A data set on disk, or in an object store where the member's own `root` allows it. `kind` is its key in
    DATASETS."""

    published: ClassVar[Published | None] = None
    in_object_stores: ClassVar[bool] = False
    """Whether `root` may be a folder of an object store."""
    kind: str
    root: StorePath

    @property
    @abstractmethod
    def dataset_name(self) -> str:
        """The name on the card, known without reading the disk."""

    @abstractmethod
    def listing(self) -> Listing:
        """Every image, without opening any; label files and headers are read. Raises SourceError if the data set is
        missing or incomplete."""

    @classmethod
    @abstractmethod
    def recognize(cls, root: Path) -> str | None:
        """What was found under `root` that identifies this source, or None. Fast; damaged files are not recognized."""

    def open_container(self, path: str) -> Images:
        """All images of the container `path`, for locations that have an index. Raises SourceError."""
        raise NotImplementedError(f"{type(self).__name__} has no containers")


class Containers:
    """Reads images by their index in a container, and opens each container once. Each Spark task has its own."""

    def __init__(self, source: ImageSource) -> None:
        self._source = source
        self._opened: dict[str, Images | str] = {}

    def read(self, location: Location) -> Image:
        """A copy of one image, height × width × channels. Raises SourceError for a damaged container and
        UnreadableImageError for an index out of range."""
        assert location.index is not None, location
        if location.path not in self._opened:
            self._opened[location.path] = self._open(location.path)
        images = self._opened[location.path]
        if isinstance(images, str):
            raise SourceError(images)
        if not 0 <= location.index < len(images):
            raise UnreadableImageError(f"{location.path} has {len(images):,} images, no index {location.index}")
        return np.array(images[location.index], order="C")

    def _open(self, path: str) -> Images | str:
        """The images, or the error message of a damaged container. The message is cached too, since thousands of images
        may be requested from it."""
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
