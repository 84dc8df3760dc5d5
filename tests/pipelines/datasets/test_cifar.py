"""CIFAR's python batches, compared with torchvision's reader, and malicious pickles, which must not be executed."""

import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
from hypothesis import given
from hypothesis import strategies as st
from published_formats import (
    CIFAR10_NAMES,
    cifar_batch,
    python2_pickle,
    random_images,
    write_cifar10,
    write_cifar100,
)

from pipelines.datasets.cifar10 import Cifar10
from pipelines.datasets.cifar100 import Cifar100
from pipelines.datasets.contract import Containers, ImageSource
from pipelines.datasets.python_batches import batch_images, batch_labels, label_names
from pipelines.errors import SourceError

IMAGES = random_images(3, 32, 32, 3)


class UncheckedCifar10(torchvision.datasets.CIFAR10):
    train_list = [[f"data_batch_{number}", None] for number in range(1, 6)]  # noqa: RUF012
    test_list = [["test_batch", None]]  # noqa: RUF012
    meta = {"filename": "batches.meta", "key": "label_names", "md5": None}  # noqa: RUF012


class UncheckedCifar100(torchvision.datasets.CIFAR100):
    train_list = [["train", None]]  # noqa: RUF012
    test_list = [["test", None]]  # noqa: RUF012
    meta = {"filename": "meta", "key": "fine_label_names", "md5": None}  # noqa: RUF012


def assert_same(source: ImageSource, oracle: Any, root: Path) -> None:
    listing = source.listing()
    with Containers(source) as containers:
        for split in ("train", "test"):
            theirs = oracle(str(root), train=split == "train")
            images = [image for image in listing.images if image.split == split]
            assert [image.label for image in images] == theirs.targets
            assert np.array_equal(np.stack([containers.read(image.location) for image in images]), theirs.data)
            assert [image.image_id for image in images] == [f"{split}/{n:06d}" for n in range(len(images))]
    assert list(listing.card.class_names) == theirs.classes
    assert listing.rejected == []


def test_cifar10_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "cifar-10-batches-py")
    assert_same(Cifar10(root=tmp_path), UncheckedCifar10, tmp_path)


def test_cifar100_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    write_cifar100(tmp_path / "cifar-100-python")
    assert_same(Cifar100(root=tmp_path), UncheckedCifar100, tmp_path)


def test_coarse_labels_are_a_data_set_of_their_own(tmp_path: Path) -> None:
    written = write_cifar100(tmp_path)
    listing = Cifar100(root=tmp_path, labels="coarse").listing()
    assert [image.label for image in listing.images] == [*written["train"][2], *written["test"][2]]
    assert (listing.card.name, listing.card.num_classes) == ("cifar100_coarse", 20)
    assert Cifar100(root=tmp_path).listing().card.name == "cifar100"


@pytest.mark.parametrize(
    "protocol", [None, 2, 3, 4, 5], ids=lambda protocol: f"python 3's {protocol}" if protocol else "python 2"
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_batch_is_read_in_every_form_that_python_writes(tmp_path: Path, protocol: int | None, order: Any) -> None:
    batch = cifar_batch(IMAGES, labels=[4, 5, 6])
    batch[b"data"] = np.array(batch[b"data"], order=order)
    (tmp_path / "batch").write_bytes(python2_pickle(batch) if protocol is None else pickle.dumps(batch, protocol))
    assert np.array_equal(batch_images(tmp_path / "batch"), IMAGES)
    assert batch_labels(tmp_path / "batch", "labels") == [4, 5, 6]


class Hostile:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


MARKER = "obeyed"
COMMAND = f"touch {MARKER}"
HOSTILE = {
    **{f"os.system, protocol {p}": pickle.dumps(Hostile(os.system, COMMAND), p) for p in range(6)},
    "eval": pickle.dumps({b"data": Hostile(eval, f"open({MARKER!r}, 'w')")}, 2),
    "inst opcode": f"(S'{COMMAND}'\nios\nsystem\n.".encode(),
    "python 2's eval": f"c__builtin__\neval\n(S'open({MARKER!r}, \"w\")'\ntR.".encode(),
    "a part of an allowed module": b"cnumpy\nload\n(S'x'\ntR.",
    "numpy's unpickling of objects": b"cnumpy.core.multiarray\nscalar\n(S'x'\ntR.",
    "getattr of what is allowed": b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'tofile'\ntR.",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_pickle_that_asks_for_any_other_name_is_refused_and_not_executed(
    tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data_batch_1").write_bytes(data)
    with pytest.raises(SourceError, match=r"data_batch_1: asks for [\w.]+, which a CIFAR batch does not contain"):
        batch_images(Path("data_batch_1"))
    assert not Path(MARKER).exists()


def test_attributes_that_a_pickle_sets_on_an_allowed_name_do_not_persist(tmp_path: Path) -> None:
    """The BUILD opcode with a pair of dicts sets attributes of the object under it."""
    (tmp_path / "hostile").write_bytes(b"cnumpy\ndtype\n(N}(S'__defaults__'\nNS'__call__'\nK\x01utb.")
    (tmp_path / "batch").write_bytes(python2_pickle(cifar_batch(IMAGES, labels=[4, 5, 6])))
    with pytest.raises(SourceError, match="hostile: "):
        batch_images(tmp_path / "hostile")
    assert np.array_equal(batch_images(tmp_path / "batch"), IMAGES)


def rows(*shape: int, dtype: Any = np.uint8) -> Any:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        ({b"labels": [1], b"data": rows(1, 3071)}, r"'data' is \(1, 3071\) uint8 of 3,071 bytes, expected N × 3072"),
        ({b"labels": [], b"data": rows(0, 3072)}, "expected N × 3072, N > 0"),
        ({b"labels": [1], b"data": rows(1, 3, 1024)}, "the array under 'data' is damaged"),
        ({b"labels": [1], b"data": rows(1, 3072, dtype=np.int32)}, "contains an array of 'i4', expected uint8"),
        ({b"labels": [1], b"data": rows(1, 1, dtype=object)}, "contains an array of 'O8', expected uint8"),
        ({b"labels": [1], b"data": [0] * 3072}, "has no array under 'data'; its keys are data, labels"),
        ({b"labels": [1, 2], b"data": rows(3, 3072)}, "has 2 labels for its 3 images"),
        ({b"labels": [1.0], b"data": rows(1, 3072)}, "no list of integers under 'labels'"),
        ({b"labels": [True], b"data": rows(1, 3072)}, "no list of integers under 'labels'"),
        ({b"fine_labels": [1], b"data": rows(1, 3072)}, "under 'labels'; its keys are data, fine_labels"),
        ([1, 2], "contains a list, expected a dict"),
        ({1: 2}, "contains a dict, expected a dict with string keys"),
    ],
)  # fmt: skip
def test_a_batch_with_unexpected_contents_is_refused(tmp_path: Path, batch: Any, reason: str) -> None:
    (tmp_path / "batch").write_bytes(pickle.dumps(batch, 4))
    with pytest.raises(SourceError, match=f"batch: .*{reason}"):
        batch_labels(tmp_path / "batch", "labels")


WHOLE = python2_pickle(cifar_batch(IMAGES[:1], labels=[4]))


@given(st.integers(0, len(WHOLE) - 1))
def test_a_truncated_batch_is_refused(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.getbasetemp() / "truncated"
    path.write_bytes(WHOLE[:length])
    with pytest.raises(SourceError, match="truncated, damaged or not a pickle"):
        batch_labels(path, "labels")


@given(st.integers(0, 300) | st.integers(len(WHOLE) - 200, len(WHOLE) - 1), st.integers(0, 255))
def test_a_damaged_byte_gives_a_source_error_or_other_values(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(WHOLE[:place] + bytes([value]) + WHOLE[place + 1 :])
    try:
        assert batch_images(path).shape == (1, 32, 32, 3)
    except SourceError as error:
        assert str(error).startswith(f"{path}: ")


LARGE = 2**29
MEMO_NUMBER = b"\x80\x02}r" + struct.pack("<I", LARGE // 16) + b"."
BYTE_ARRAY = b"\x80\x05\x96" + struct.pack("<Q", LARGE) + b"x."
LONG_TEXT = b"\x80\x04\x8d" + struct.pack("<Q", LARGE) + b"x."


@pytest.mark.parametrize("data", [MEMO_NUMBER, BYTE_ARRAY, LONG_TEXT], ids=["memo", "byte array", "text"])
def test_memory_is_not_allocated_as_the_file_says(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "batch").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match=r"not a pickle|has no list of integers"):
            batch_labels(tmp_path / "batch", "labels")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_bytes_after_the_pickle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "batch").write_bytes(WHOLE + b"xy")
    with pytest.raises(SourceError, match="2 bytes follow the end of the pickle"):
        batch_images(tmp_path / "batch")


def test_a_label_outside_the_card_is_rejected_and_shifts_no_other_image(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    path = tmp_path / "data_batch_1"
    path.write_bytes(python2_pickle(cifar_batch(IMAGES, labels=[1, 10, 2])))
    listing = Cifar10(root=tmp_path).listing()
    assert [(row.source, row.reason) for row in listing.rejected] == [(f"{path}[1]", "label 10 is outside 0–9")]
    assert [image.image_id for image in listing.images[:3]] == ["train/000000", "train/000002", "train/000003"]


def test_class_names_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "batches.meta"
    for names in (CIFAR10_NAMES[:9], [*CIFAR10_NAMES[:9], "cat"]):
        path.write_bytes(pickle.dumps({"label_names": names}))
        with pytest.raises(SourceError, match=r"label_names, 9 of them distinct, expected 10"):
            label_names(path, "label_names", 10)


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(SourceError, match=r"has no data_batch_3; .* download cifar-10-python.tar.gz again"):
        Cifar10(root=tmp_path).listing()


def test_an_archive_that_is_still_packed_is_named(tmp_path: Path) -> None:
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(b"")
    with pytest.raises(SourceError, match=r"contains cifar-100-python.tar.gz; unpack it: tar -xzf"):
        Cifar100(root=tmp_path).listing()
    with pytest.raises(SourceError, match=r"no cifar-10-batches-py found; expected batches.meta"):
        Cifar10(root=tmp_path).listing()
