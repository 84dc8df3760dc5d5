"""SVHN's .mat files, compared with torchvision's reader, and .mat files of other versions and contents."""

import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torchvision.datasets
from hypothesis import given
from hypothesis import strategies as st
from published_formats import write_svhn

from pipelines.datasets.contract import Containers
from pipelines.datasets.matlab import mat_variables, read_variable
from pipelines.datasets.svhn import Svhn
from pipelines.errors import SourceError

LABELS = {"train": [10, 1, 2, 9], "test": [3, 10], "extra": [4, 5, 10]}


class UncheckedSvhn(torchvision.datasets.SVHN):
    split_list = {part: ["", f"{part}_32x32.mat", None] for part in LABELS}  # noqa: RUF012


@pytest.mark.parametrize("compressed", [True, False])
def test_svhn_is_read_as_torchvision_reads_it(tmp_path: Path, compressed: bool) -> None:
    write_svhn(tmp_path, LABELS, compressed)
    source = Svhn(root=tmp_path, extra=True)
    listing = source.listing()
    assert listing.counts == {"train": 7, "test": 2} and listing.card.name == "svhn_extra"
    with Containers(source) as containers:
        for part in LABELS:
            theirs = UncheckedSvhn(str(tmp_path), split=part)
            images = [image for image in listing.images if image.image_id.startswith(part)]
            assert [image.label for image in images] == theirs.labels.tolist()
            read = np.stack([containers.read(image.location) for image in images])
            assert np.array_equal(read, theirs.data.transpose(0, 2, 3, 1))


def test_extra_is_left_out_by_default_and_that_is_reported(tmp_path: Path) -> None:
    write_svhn(tmp_path, LABELS)
    listing = Svhn(root=tmp_path).listing()
    assert listing.counts == {"train": 4, "test": 2} and listing.card.name == "svhn"
    assert f"{tmp_path}/extra_32x32.mat is not used; dataset.extra=true adds it to train" in listing.remarks


@pytest.mark.parametrize("label", [0, 11])
def test_a_label_that_is_not_a_digit_is_rejected(tmp_path: Path, label: int) -> None:
    write_svhn(tmp_path, {"train": [1, label, 2], "test": [3]})
    listing = Svhn(root=tmp_path).listing()
    assert [(row.source, row.reason) for row in listing.rejected] == [
        (f"{tmp_path}/train_32x32.mat[1]", f"label {label} is outside 1–10")
    ]
    assert [image.image_id for image in listing.images] == ["train/000000", "train/000002", "test/000000"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_svhn(tmp_path, {"train": [1, 2]})
    with pytest.raises(SourceError, match=r"test_32x32.mat: no such file; `python jobs/download_dataset.py svhn`"):
        Svhn(root=tmp_path).listing()


def test_a_file_of_version_7_3_is_refused_by_its_version(tmp_path: Path) -> None:
    write_svhn(tmp_path, LABELS)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    for content in (header.ljust(512) + b"\x89HDF\r\n\x1a\n" + bytes(100), b"\x89HDF\r\n\x1a\n" + bytes(600)):
        (tmp_path / "train_32x32.mat").write_bytes(content)
        with pytest.raises(
            SourceError, match=r"train_32x32.mat: a .mat file of version 7.3 \(HDF5\), which is not supported"
        ):
            Svhn(root=tmp_path).listing()


def test_a_file_of_version_4_is_refused(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "old.mat", {"y": np.ones((3, 1))}, format="4")
    with pytest.raises(SourceError, match=r"old.mat: not a .mat file of version 5"):
        mat_variables(tmp_path / "old.mat")


GOOD: dict[str, Any] = {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.ones((2, 1), np.uint8)}


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"y": GOOD["y"]}, "X is missing"),
        ({"X": GOOD["X"]}, "has no variable y; it has X"),
        ({**GOOD, "X": np.zeros((32, 32, 3, 2))}, "X is 32 × 32 × 3 × 2 double, expected 32 × 32 × 3 × N uint8"),
        ({**GOOD, "X": np.zeros((28, 28, 3, 2), np.uint8)}, "X is 28 × 28 × 3 × 2 uint8"),
        ({**GOOD, "X": np.zeros((32, 32), np.uint8)}, "X is 32 × 32 uint8"),
        ({**GOOD, "y": np.ones((3, 1), np.uint8)}, "y has 3 labels for the 2 images of X"),
        ({**GOOD, "y": {"a": 1}}, "y is of class struct, expected uint8 or double"),
        ({**GOOD, "y": np.array([{}, {}], object)}, "y is of class cell, expected uint8 or double"),
    ],
)  # fmt: skip
def test_a_file_with_unexpected_contents_is_refused(tmp_path: Path, variables: dict[str, Any], reason: str) -> None:
    write_svhn(tmp_path, LABELS)
    scipy.io.savemat(tmp_path / "train_32x32.mat", variables)
    with pytest.raises(SourceError, match=f"train_32x32.mat: {reason}"):
        Svhn(root=tmp_path).listing()


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("kept", [0, 100, 128, 130, 150, 200, 1000, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: int, compressed: bool) -> None:
    write_svhn(tmp_path, LABELS, compressed)
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(SourceError, match=f"^{path}: "):
        listing = Svhn(root=tmp_path).listing()
        Containers(Svhn(root=tmp_path)).read(listing.images[0].location)


def test_a_variable_that_claims_more_than_the_limit_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scipy.io.savemat(tmp_path / "x.mat", GOOD)
    monkeypatch.setattr("pipelines.datasets.matlab.MAX_BYTES", 6000)
    monkeypatch.setattr("numpy.empty", None)
    with pytest.raises(SourceError, match=r"X claims 6,144 bytes, more than 6,000"):
        read_variable(tmp_path / "x.mat", "X")


def test_labels_may_be_doubles_as_matlab_saves_numbers_by_default(tmp_path: Path) -> None:
    write_svhn(tmp_path, LABELS)
    scipy.io.savemat(tmp_path / "test_32x32.mat", {**GOOD, "y": np.array([[10.0], [1.5]])})
    listing = Svhn(root=tmp_path).listing()
    assert [image.label for image in listing.images if image.split == "test"] == [0]
    assert [row.reason for row in listing.rejected] == ["label 1.5 is outside 1–10"]


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize(
    "values",
    [
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.arange(6.0).reshape(2, 3),
        np.array([[1.5, -2.25], [1e300, np.inf]]),
        np.array([[7]], np.uint8),
        np.array([[7.0]]),
        np.zeros((0, 3)),
        np.random.default_rng(0).integers(0, 256, (3_000_001, 1), dtype=np.uint8),
    ],
    ids=lambda values: f"{values.shape} {values.dtype}" + (" fraction" if 1.5 in values else ""),
)  # fmt: skip
def test_variables_are_read_as_scipy_reads_them(tmp_path: Path, values: Any, compressed: bool) -> None:
    path = tmp_path / "x.mat"
    scipy.io.savemat(path, {"first": np.ones((5, 5)), "x": values, "last": np.ones((2, 1))}, do_compression=compressed)
    read, theirs = read_variable(path, "x"), scipy.io.loadmat(path)["x"]
    assert read.dtype == theirs.dtype and np.array_equal(read, theirs)
    assert [(name, *variable) for name, variable in mat_variables(path).items()] == scipy.io.whosmat(path)


def test_big_endian_files_and_doubles_stored_as_bytes_are_read(tmp_path: Path) -> None:
    """MATLAB stores integers this way; SciPy never writes either form."""
    flags = struct.pack(">4I", 6, 8, 6, 0)
    dimensions, name = struct.pack(">2I2i", 5, 8, 3, 1), struct.pack(">2H4s", 1, 1, b"y")
    for length, stored in ((3, bytes([10, 1, 200])), (5, bytes(5))):
        body = flags + dimensions + name + struct.pack(">2I8s", 2, length, stored)
        header = b"MATLAB 5.0".ljust(124) + b"\x01\x00MI"
        (tmp_path / "x.mat").write_bytes(header + struct.pack(">2I", 14, len(body)) + body)
        if length == 3:
            assert read_variable(tmp_path / "x.mat", "y").tolist() == [[10.0], [1.0], [200.0]]
            assert scipy.io.loadmat(tmp_path / "x.mat")["y"].tolist() == [[10.0], [1.0], [200.0]]
    with pytest.raises(SourceError, match=r"y has 5 bytes of type 2, expected 3 for the shape \(3, 1\)"):
        read_variable(tmp_path / "x.mat", "y")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    contents = {}
    for compressed in (True, False):
        scipy.io.savemat(folder / "x.mat", GOOD, do_compression=compressed)
        contents[compressed] = (folder / "x.mat").read_bytes()
    return contents


@given(st.booleans(), st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_byte_gives_a_source_error_or_other_values(
    tmp_path_factory: pytest.TempPathFactory, whole: dict[bool, bytes], compressed: bool, place: int, value: int
) -> None:
    path, content = tmp_path_factory.getbasetemp() / "damaged.mat", bytearray(whole[compressed])
    content[place % len(content)] = value
    path.write_bytes(content)
    try:
        for name in mat_variables(path):
            read_variable(path, name)
    except SourceError as error:
        assert str(error).startswith(f"{path}: ")


def test_a_bomb_is_unpacked_only_up_to_the_size_in_its_header(tmp_path: Path) -> None:
    """60 MB of zeros after a header for 3 values; the checksum after them is never read."""
    flags, dimensions = struct.pack("<4I", 6, 8, 9, 0), struct.pack("<2I2i", 5, 8, 3, 1)
    body = flags + dimensions + struct.pack("<2H4s", 1, 1, b"y") + struct.pack("<2I", 2, 3)
    packed = zlib.compress(struct.pack("<2I", 14, len(body) + 8) + body + bytes(60_000_000), 1)
    path = tmp_path / "x.mat"
    path.write_bytes(bytes(124) + b"\x00\x01IM" + struct.pack("<2I", 15, len(packed)) + packed)
    tracemalloc.start()
    with pytest.raises(SourceError, match="more bytes follow than the 3 of y"):
        read_variable(path, "y")
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
