"""Fashion-MNIST: 70,000 images of clothing in MNIST's format.

H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms",
arXiv:1708.07747, 2017.
"""

from pathlib import Path
from typing import ClassVar, Literal

from pipelines.datasets.card import DatasetCard
from pipelines.datasets.mnist_files import MnistFiles
from pipelines.datasets.published import Archive, Published
from pipelines.settings import LocalPath

__all__ = ["FashionMnist"]


class FashionMnist(MnistFiles):
    """Fashion-MNIST. A mirrored shoe or shirt has the same class, so hflip keeps every label."""

    kind: Literal["fashion_mnist"] = "fashion_mnist"
    root: LocalPath = Path("data/raw/fashion_mnist")

    card: ClassVar[DatasetCard] = DatasetCard(
        name="fashion_mnist",
        class_names=(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
        ),
        channels=1,
        group="each image is one observation",
        hflip={label: label for label in range(10)},
        expected_classes=10,
        expected_counts={"train": 60_000, "test": 10_000},
        licence="MIT",
        citation="H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine "
        "learning algorithms, arXiv:1708.07747, 2017",
    )  # fmt: skip
    torchvision_folder: ClassVar[str] = "FashionMNIST"
    published: ClassVar[Published] = Published(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        (
            Archive("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
            Archive("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe", 29_515),
            Archive("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79", 4_422_102),
            Archive("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310", 5_148),
        ),
    )
