"""What a source says it holds, before any image is opened."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

__all__ = ["Expected", "Listing", "Rejected", "SourceImage"]


class SourceImage(NamedTuple):
    """One image of a source. `archive` is the zip that holds `path`, or "" where path is a file.

    width_px, height_px and the region of interest are the annotation's, to be checked against the image itself. `track`
    names the one physical sign that a run of training frames shows, or "" for a test image.
    """

    image_id: str
    label: int
    split: Literal["train", "test"]
    track: str
    archive: str
    path: str
    width_px: int
    height_px: int
    roi_x1: int
    roi_y1: int
    roi_x2: int
    roi_y2: int


class Rejected(NamedTuple):
    """An image, or a line of an annotation, that cannot be used, and why."""

    source: str
    reason: str


class Expected(NamedTuple):
    """How much a whole copy of a published source holds: every class in train and in test, and so many images and
    tracks."""

    classes: int
    train_images: int
    train_tracks: int
    test_images: int

    def missing_classes(self, images: Iterable[SourceImage]) -> dict[str, list[int]]:
        """By split, the classes of which there is no image; only splits with such a class."""
        there = {(image.split, image.label) for image in images}
        missing: dict[str, list[int]] = {}
        for split in ("train", "test"):
            for label in range(self.classes):
                if (split, label) not in there:
                    missing.setdefault(split, []).append(label)
        return missing

    def differences(self, images: Iterable[SourceImage]) -> str:
        """In words, how the numbers of `images` differ from these, or "": "26,640 of 39,209 train images"."""
        images = list(images)
        train = sum(image.split == "train" for image in images)
        numbers = (
            (train, self.train_images, "train images"),
            (len({image.track for image in images if image.track}), self.train_tracks, "tracks"),
            (len(images) - train, self.test_images, "test images"),
        )
        return ", ".join(f"{there:,} of {whole:,} {name}" for there, whole, name in numbers if there != whole)


@dataclass(frozen=True)
class Listing:
    """`found` says in words what was found where; `class_names` has one name per label."""

    found: str
    class_names: tuple[str, ...]
    images: list[SourceImage] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def state(self) -> str:
        """A digest of all that is listed and of every file's size and time of change, without opening one: while it is
        the same, nothing has changed."""
        digest = hashlib.sha256()
        for entry in (*self.images, *self.rejected):
            digest.update(f"{entry}\n".encode())
        for path in sorted({image.archive or image.path for image in self.images}):
            try:
                status = Path(path).stat()
                digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
            except OSError as error:  # a broken link, say: it is rejected when it is opened
                digest.update(f"{path} {error.strerror}\n".encode())
        return digest.hexdigest()
