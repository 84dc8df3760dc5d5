"""Reads the four idx files in which both MNIST and Fashion-MNIST are published."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from pipelines.datasets.card import DatasetCard, Split
from pipelines.datasets.contract import Images, ImageSource
from pipelines.datasets.idx import check_idx, read_idx
from pipelines.datasets.listing import Listing, Rejected, SourceImage
from pipelines.errors import SourceError
from pipelines.settings import LocalPath

__all__ = ["MnistFiles"]

_SPLITS: tuple[tuple[Split, str], ...] = (("train", "train"), ("test", "t10k"))
_FIRST_TEST_LABELS = {
    "mnist": (7, 2, 1, 0, 4, 1, 4, 9, 5, 9),
    "fashion_mnist": (9, 2, 1, 1, 6, 1, 4, 6, 5, 7),
}
"""The two data sets have the same file names and sizes, so they are told apart by their labels."""


class MnistFiles(ImageSource):
    """Reads {train,t10k}-{images-idx3,labels-idx1}-ubyte, each with or without .gz, in `root` or in torchvision's
    folder below it. If a file exists in both forms, the one without .gz is read."""

    root: LocalPath
    card: ClassVar[DatasetCard]
    torchvision_folder: ClassVar[str]

    @property
    def dataset_name(self) -> str:
        return self.card.name

    def listing(self) -> Listing:
        base = next((folder for folder in self._folders(self.root) if _files(folder)), None)
        if base is None:
            raise SourceError(
                f"{self.root}: train-images-idx3-ubyte and t10k-images-idx3-ubyte not found; {self._help()}"
            )
        files = _files(base)
        if missing := [name for name in _NAMES if name not in files]:
            raise SourceError(f"{base}: has no {', '.join(missing)}, with or without .gz; {self._help()}")
        listing = Listing(f"{base}, the idx files {', '.join(path.name for path in files.values())}", self.card)
        for split, prefix in _SPLITS:
            self._add(listing, split, files[f"{prefix}-images-idx3-ubyte"], files[f"{prefix}-labels-idx1-ubyte"])
        return listing

    @classmethod
    def recognize(cls, root: Path) -> str | None:
        for folder in cls._folders(root):
            files = _files(folder)
            if len(files) == len(_NAMES) and _looks_like(files["t10k-labels-idx1-ubyte"]) == cls.card.name:
                return f"MNIST's four idx files with the test labels of {cls.card.name}"
        return None

    def open_container(self, path: str) -> Images:
        return read_idx(Path(path), dimensions=3)[..., np.newaxis]

    @classmethod
    def _folders(cls, root: Path) -> tuple[Path, ...]:
        return root, root / "raw", root / cls.torchvision_folder / "raw"

    def _help(self) -> str:
        return f"`python jobs/download_dataset.py {self.card.name}` downloads all four files"

    def _add(self, listing: Listing, split: Split, images: Path, labels: Path) -> None:
        count, height, width = check_idx(images, dimensions=3)
        values = read_idx(labels, dimensions=1)
        if len(values) != count:
            raise SourceError(f"{labels}: has {len(values):,} labels for the {count:,} images of {images}")
        looks_like = _looks_like(labels) if split == "test" else None
        if looks_like not in (None, self.card.name):
            raise SourceError(f"{labels}: contains the labels of {looks_like}; set dataset.kind={looks_like}")
        for index, label in enumerate(values.tolist()):
            if label < self.card.num_classes:
                image_id = f"{split}/{index:06d}"
                listing.images.append(SourceImage(image_id, label, split, None, "", str(images), index, width, height))
            else:
                reason = f"label {label} is outside 0–{self.card.num_classes - 1}"
                listing.rejected.append(Rejected(f"{labels}[{index}]", reason))


_NAMES = tuple(f"{prefix}-{kind}-ubyte" for _, prefix in _SPLITS for kind in ("images-idx3", "labels-idx1"))


def _files(folder: Path) -> dict[str, Path]:
    """The files that exist, by their names without .gz."""
    found = {}
    for name in _NAMES:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                found[name] = path
                break
    return found


def _looks_like(labels: Path) -> str | None:
    """The data set with these first test labels."""
    try:
        first = tuple(read_idx(labels, dimensions=1)[:10].tolist())
    except SourceError:
        return None
    return next((name for name, known in _FIRST_TEST_LABELS.items() if known == first), None)
