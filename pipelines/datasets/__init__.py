"""The data sets. To add one, add a file here with a subclass of ImageSource, and a line to DATASETS. The rest of the
program knows a data set only by its card."""

from pathlib import Path
from typing import Any

from pipelines.datasets.card import DatasetCard
from pipelines.datasets.cifar10 import Cifar10
from pipelines.datasets.cifar100 import Cifar100
from pipelines.datasets.contract import Containers, ImageSource
from pipelines.datasets.decoding import UnreadableImageError, decode
from pipelines.datasets.fashion_mnist import FashionMnist
from pipelines.datasets.files import FileReader
from pipelines.datasets.gtsrb import Gtsrb
from pipelines.datasets.image_folder import ImageFolder
from pipelines.datasets.listing import Listing, Location, Rejected, SourceImage
from pipelines.datasets.mnist import Mnist
from pipelines.datasets.recognition import recognize
from pipelines.datasets.svhn import Svhn
from pipelines.datasets.synthetic_signs import SyntheticSigns
from pipelines.datasets.tiny_imagenet_200 import TinyImagenet200
from pipelines.places import read_place

__all__ = [
    "DATASETS",
    "Containers",
    "DatasetCard",
    "FileReader",
    "ImageSource",
    "Listing",
    "Location",
    "Rejected",
    "SourceImage",
    "SyntheticSigns",
    "UnreadableImageError",
    "decode",
    "detect_kind",
]  # fmt: skip

DATASETS: dict[str, type[ImageSource]] = {
    "gtsrb": Gtsrb,
    "synthetic_signs": SyntheticSigns,
    "mnist": Mnist,
    "fashion_mnist": FashionMnist,
    "cifar10": Cifar10,
    "cifar100": Cifar100,
    "svhn": Svhn,
    "tiny_imagenet_200": TinyImagenet200,
    "image_folder": ImageFolder,
}


def detect_kind(settings: dict[str, Any]) -> str:
    """The kind that `kind: auto` stands for: the source that recognizes the root. Without a root it is gtsrb if its
    default root exists, otherwise synthetic_signs. Raises SourceError, which lists what is in the root, if no source or
    several sources recognize it."""
    if root := settings.get("root"):
        return recognize(read_place(root), DATASETS).kind
    return "gtsrb" if Path(Gtsrb.model_fields["root"].default).is_dir() else "synthetic_signs"
