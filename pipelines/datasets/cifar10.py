"""CIFAR-10: 60,000 pictures of animals and vehicles, 32 × 32, in python batches.

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

__all__ = ["Cifar10"]

_FOLDER = "cifar-10-batches-py"
_META = "batches.meta"
_BATCHES: dict[Split, tuple[str, ...]] = {
    "train": ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"),
    "test": ("test_batch",),
}


class Cifar10(ImageSource):
    """Reads the folder cifar-10-batches-py, which is `root` or a folder in it. Training images are numbered through all
    five batches, as in torchvision: image_id train/012345 is image 12,345."""

    kind: Literal["cifar10"] = "cifar10"
    root: LocalPath = Path("data/raw/cifar10")

    published: ClassVar[Published] = Published(
        "https://www.cs.toronto.edu/~kriz/",
        (Archive("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", 170_498_071, packed=True),),
    )

    @property
    def dataset_name(self) -> str:
        return "cifar10"

    def listing(self) -> Listing:
        base = find_folder(self.root, _FOLDER, [_META, *_BATCHES["train"], *_BATCHES["test"]], self.published)
        names = label_names(base / _META, "label_names", count=10)
        card = DatasetCard(
            name=self.dataset_name,
            class_names=names,
            channels=3,
            group="each image is one observation",
            hflip={label: label for label in range(len(names))},
            expected_classes=10,
            expected_counts={"train": 50_000, "test": 10_000},
            licence=NOT_STATED,
            citation=CITATION,
        )
        listing = Listing(f"{base}, CIFAR-10's python batches", card)
        for split, batches in _BATCHES.items():
            first = 0
            for name in batches:
                first += add_batch(listing, split, base / name, "labels", first)
        return listing

    @classmethod
    def recognize(cls, root: Path) -> str | None:
        for base in (root, root / _FOLDER):
            if (base / _META).is_file() and (base / "test_batch").is_file():
                return f"{_META} and test_batch"
        return None

    def open_container(self, path: str) -> Images:
        return batch_images(Path(path))
