"""MNIST and Fashion-MNIST in intact and damaged idx files, compared with torchvision's reader."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from published_formats import idx_bytes, random_images, write_mnist

from pipelines.datasets.contract import Containers, Location
from pipelines.datasets.decoding import UnreadableImageError
from pipelines.datasets.fashion_mnist import FashionMnist
from pipelines.datasets.idx import check_idx, read_idx
from pipelines.datasets.mnist import Mnist
from pipelines.datasets.mnist_files import MnistFiles
from pipelines.errors import SourceError

LABELS = {"train": [5, 0, 4, 1, 9, 2], "t10k": [3, 8, 7]}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("source", "oracle"), [(Mnist, torchvision.datasets.MNIST), (FashionMnist, torchvision.datasets.FashionMNIST)]
)
def test_images_and_labels_are_those_of_torchvision(
    tmp_path: Path, source: type[MnistFiles], oracle: type[torchvision.datasets.MNIST], zipped: bool
) -> None:
    write_mnist(tmp_path / "plain" / source.torchvision_folder / "raw", LABELS, zipped=False)
    write_mnist(tmp_path / "read", LABELS, zipped=zipped)
    made = source(root=tmp_path / "read")
    listing = made.listing()
    with Containers(made) as containers:
        for split in ("train", "test"):
            images = [image for image in listing.images if image.split == split]
            theirs = oracle(str(tmp_path / "plain"), train=split == "train")
            assert [image.label for image in images] == theirs.targets.tolist()
            read = np.stack([containers.read(image.location) for image in images])
            assert np.array_equal(read, theirs.data.numpy()[..., np.newaxis])
            assert images[0].image_id == f"{split}/000000"
    if source is FashionMnist:
        assert list(listing.card.class_names) == theirs.classes


def test_the_listing_says_how_it_differs_from_the_publishers_numbers(tmp_path: Path) -> None:
    write_mnist(tmp_path, LABELS)
    assert Mnist(root=tmp_path).listing().remarks == [
        "6 of 60,000 train images, 3 of 10,000 test images", "no train image of class 3, 6, 7, 8",
        "no test image of class 0, 1, 2, 4, 5, 6, 9",
    ]  # fmt: skip


def test_a_label_outside_the_card_is_rejected_and_shifts_no_other_image(tmp_path: Path) -> None:
    images = write_mnist(tmp_path, {"train": [1, 10, 2], "t10k": [0, 1]})
    source = Mnist(root=tmp_path)
    listing = source.listing()
    assert [(row.source, row.reason) for row in listing.rejected] == [
        (f"{tmp_path}/train-labels-idx1-ubyte.gz[1]", "label 10 is outside 0–9")
    ]
    second = listing.images[1]
    assert (second.image_id, second.label) == ("train/000002", 2)
    assert np.array_equal(Containers(source).read(second.location)[..., 0], images["train"][2])


def test_a_label_file_of_another_length_is_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path, LABELS)
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros(5, np.uint8))))
    with pytest.raises(
        SourceError, match=r"train-labels-idx1-ubyte.gz: has 5 labels for the 6 images of .*images-idx3"
    ):
        Mnist(root=tmp_path).listing()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_mnist(tmp_path, LABELS)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(SourceError, match=r"has no t10k-labels-idx1-ubyte, with or without .gz; `python jobs/download"):
        Mnist(root=tmp_path).listing()
    with pytest.raises(SourceError, match="train-images-idx3-ubyte and t10k-images-idx3-ubyte not found"):
        Mnist(root=tmp_path / "nowhere").listing()


def test_fashion_mnist_read_as_mnist_is_refused_by_its_labels(tmp_path: Path) -> None:
    write_mnist(tmp_path, {"train": [1], "t10k": [9, 2, 1, 1, 6, 1, 4, 6, 5, 7, 4, 5]})
    with pytest.raises(SourceError, match=r"contains the labels of fashion_mnist; set dataset.kind=fashion_mnist"):
        Mnist(root=tmp_path).listing()
    assert Mnist.recognize(tmp_path) is None
    assert FashionMnist.recognize(tmp_path) is not None
    assert FashionMnist(root=tmp_path).listing().counts == {"train": 1, "test": 12}


def test_an_index_that_is_not_in_the_container_is_an_unreadable_image(tmp_path: Path) -> None:
    write_mnist(tmp_path, LABELS)
    path = str(tmp_path / "t10k-images-idx3-ubyte.gz")
    with pytest.raises(UnreadableImageError, match="has 3 images, no index 3"):
        Containers(Mnist(root=tmp_path)).read(Location("", path, 3))


VALUES = random_images(3, 4, 5)
WHOLE = idx_bytes(VALUES)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes are too short for an idx header of 3 dimensions"),
        (WHOLE[:10], "10 bytes are too short for an idx header"),
        (WHOLE[:-1], "truncated; the header says 3 × 4 × 5 = 60 bytes, but 59 follow"),
        (WHOLE + b"x", "more bytes than the 3 × 4 × 5 = 60 in the header"),
        (b"PK\x03\x04" + WHOLE, r"starts with 50 4b 03 04, not with the magic number"),
        (idx_bytes(VALUES, kind=0x0C), r"holds int32 values \(magic number 00 00 0c 03\), expected uint8"),
        (idx_bytes(VALUES[0]) + bytes(4), "has 2 dimensions, expected 3"),
        (idx_bytes(VALUES[:0]), r"claims 0 × 4 × 5 = 0 bytes"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2), "claims 4,294,967,295 × .* expected 1 to 1,073"),
    ],
)  # fmt: skip
def test_a_damaged_idx_file_is_refused_with_its_name_and_numbers(
    tmp_path: Path, data: bytes, reason: str, zipped: bool
) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(data) if zipped else data)
    for read in (check_idx, read_idx):
        with pytest.raises(SourceError, match=f"^{path}: .*{reason}"):
            read(path, 3)


@pytest.mark.parametrize("keep", [1, 12, -9, -1])
def test_a_truncated_gzip_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(WHOLE)[:keep])
    with pytest.raises(SourceError, match=f"^{path}: "):
        read_idx(path, 3)


def test_a_gzip_bomb_is_read_only_up_to_the_size_in_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(WHOLE + bytes(50_000_000)))
    sizes = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: sizes.append(size) or read(self, size))  # type: ignore[func-returns-value]
    for function in (check_idx, read_idx):
        with pytest.raises(SourceError, match="more bytes than the 3 × 4 × 5"):
            function(path, 3)
    assert min(sizes) >= 0 and sum(sizes) < 200


def test_a_file_that_is_not_gzipped_stays_on_disk(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(WHOLE)
    read = read_idx(tmp_path / "x", 3)
    assert isinstance(read, np.memmap) and np.array_equal(read, VALUES)


def test_a_damaged_container_is_opened_once_however_many_images_are_requested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(tmp_path, LABELS)
    listing = Mnist(root=tmp_path).listing()
    opened = []

    def damaged(source: Mnist, path: str) -> None:
        opened.append(path)
        raise SourceError(f"{path}: damaged")

    monkeypatch.setattr(Mnist, "open_container", damaged)
    with Containers(Mnist(root=tmp_path)) as containers:
        for image in listing.images:
            with pytest.raises(SourceError, match="damaged"):
                containers.read(image.location)
    assert sorted(opened) == sorted({image.path for image in listing.images})
