"""MNIST: 70,000 handwritten digits, 28 × 28, one channel.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", Proceedings of
the IEEE 86(11), 1998.
"""

from pathlib import Path
from typing import ClassVar, Literal

from pipelines.datasets.card import NOT_STATED, DatasetCard
from pipelines.datasets.mnist_files import MnistFiles
from pipelines.datasets.published import Archive, Published
from pipelines.settings import LocalPath

__all__ = ["Mnist"]


class Mnist(MnistFiles):
    """MNIST. Labels are the digits; no flip is label-safe."""

    kind: Literal["mnist"] = "mnist"
    root: LocalPath = Path("data/raw/mnist")

    card: ClassVar[DatasetCard] = DatasetCard(
        name="mnist",
        class_names=tuple("0123456789"),
        channels=1,
        group="each image is one observation; the writers are not published",
        expected_classes=10,
        expected_counts={"train": 60_000, "test": 10_000},
        licence=f"{NOT_STATED} by the publisher; TensorFlow's documentation says CC BY-SA 3.0",
        citation="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition, "
        "Proceedings of the IEEE 86(11), 1998",
    )
    torchvision_folder: ClassVar[str] = "MNIST"
    published: ClassVar[Published] = Published(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        (
            Archive("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
            Archive("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432", 28_881),
            Archive("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3", 1_648_877),
            Archive("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c", 4_542),
        ),
    )
