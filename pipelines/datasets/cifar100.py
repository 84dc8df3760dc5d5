"""CIFAR-100: 60,000 pictures of 100 classes in 20 superclasses, 32 × 32, in python batches.

A. Krizhevsky, "Learning multiple layers of features from tiny images", technical report, 2009.
"""

from pathlib import Path
from typing import ClassVar, Literal

from pipelines.datasets.card import NOT_STATED, DatasetCard, Split
from pipelines.datasets.cifar_files import CITATION, add_batch, find_folder
from pipelines.datasets.contract import Images, ImageSource
from pipelines.datasets.listing import Listing
from pipelines.datasets.published import Archive, Published
from pipelines.datasets.python_batches import batch_images, label_names
from pipelines.settings import LocalPath

__all__ = ["Cifar100"]

_FOLDER = "cifar-100-python"
_META = "meta"
_BATCHES: tuple[Split, ...] = ("train", "test")
_CLASSES = {"fine": 100, "coarse": 20}


class Cifar100(ImageSource):
    """Reads the folder cifar-100-python, which is `root` or a folder in it. `labels` selects the 100 classes ("fine")
    or their 20 superclasses ("coarse"), which form a separate data set, cifar100_coarse."""

    kind: Literal["cifar100"] = "cifar100"
    root: LocalPath = Path("data/raw/cifar100")
    labels: Literal["fine", "coarse"] = "fine"

    published: ClassVar[Published] = Published(
        "https://www.cs.toronto.edu/~kriz/",
        (Archive("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", 169_001_437, packed=True),),
    )

    @property
    def dataset_name(self) -> str:
        return "cifar100" if self.labels == "fine" else "cifar100_coarse"

    def listing(self) -> Listing:
        base = find_folder(self.root, _FOLDER, [_META, *_BATCHES], self.published)
        classes = _CLASSES[self.labels]
        card = DatasetCard(
            name=self.dataset_name,
            class_names=label_names(base / _META, f"{self.labels}_label_names", classes),
            channels=3,
            group="each image is one observation",
            hflip={label: label for label in range(classes)},
            expected_classes=classes,
            expected_counts={"train": 50_000, "test": 10_000},
            licence=NOT_STATED,
            citation=CITATION,
        )
        listing = Listing(f"{base}, CIFAR-100's python batches, {self.labels} labels", card)
        for split in _BATCHES:
            add_batch(listing, split, base / split, f"{self.labels}_labels")
        return listing

    @classmethod
    def recognize(cls, root: Path) -> str | None:
        for base in (root, root / _FOLDER):
            if all((base / name).is_file() for name in (_META, *_BATCHES)):
                return "files named meta, train and test"
        return None

    def open_container(self, path: str) -> Images:
        return batch_images(Path(path))
