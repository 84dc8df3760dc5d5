"""Reads numeric variables of MATLAB .mat files of version 5 to 7.2, and refuses damaged and malicious files safely.

scipy.io.loadmat is not used because some damaged files crash it with a segmentation fault. The format: The MathWorks,
"MAT-file format", chapter 1.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import SourceError

__all__ = ["Variable", "mat_variables", "read_variable"]

MAX_BYTES = 2 * 2**30
"""SVHN's extra_32x32.mat, the largest supported file, has 1.63 × 10⁹ bytes of pixels."""
CHUNK_BYTES = 2**20
_MATRIX, _COMPRESSED = 14, 15
_CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single", 8: "int8", 9: "uint8",
    10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64",
}  # fmt: skip
_READ = {"uint8": np.uint8, "double": np.float64}
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
"""Storage types by number. MATLAB stores doubles that are small integers as bytes."""
_COMPLEX = 0x08
_HDF5 = b"\x89HDF\r\n\x1a\n"


class Variable(NamedTuple):
    """The header of a variable: its shape and its MATLAB class."""

    shape: tuple[int, ...]
    matlab_class: str


class _Stream(Protocol):
    def read(self, length: int, /) -> bytes: ...


class _OpenVariable(NamedTuple):
    """A variable whose header has been read; `stream` is at its values."""

    name: str
    variable: Variable
    stream: _Stream
    order: str


def mat_variables(path: Path) -> dict[str, Variable]:
    """The variables in a file by name, without reading their values. Raises SourceError."""
    with _errors_as_source_error(path), path.open("rb") as file:
        found = [(opened.name, opened.variable) for opened in _variables(path, file)]
    if len(dict(found)) < len(found):
        raise SourceError(f"{path}: contains duplicates among its variables {', '.join(name for name, _ in found)}")
    return dict(found)


def read_variable(path: Path, name: str) -> NDArray[Any]:
    """The variable `name` as an array of uint8 or float64. Raises SourceError."""
    with _errors_as_source_error(path), path.open("rb") as file:
        names = []
        for opened in _variables(path, file):
            if opened.name == name:
                return _read_values(opened)
            names.append(opened.name)
    raise SourceError(f"{path}: has no variable {name}; it has {', '.join(names) or 'none'}")


@contextmanager
def _errors_as_source_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(f"{path}: not readable ({error.strerror or error})") from None
    except (_DamagedError, zlib.error) as error:
        raise SourceError(f"{path}: {error}; download it again") from None


class _DamagedError(Exception):
    """The message says what is wrong with the file."""


class _Inflated:
    """Decompresses the next `length` bytes of a file, never more than is requested."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._left, self._inflate = file, length, zlib.decompressobj()

    def read(self, length: int, /) -> bytes:
        parts: list[bytes] = []
        while length > 0 and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._file.read(min(CHUNK_BYTES, self._left))
            if not self._inflate.unconsumed_tail:
                self._left -= len(packed)
            parts.append(self._inflate.decompress(packed, length))
            length -= len(parts[-1])
            if not packed and not parts[-1]:
                break
        return b"".join(parts)


def _variables(path: Path, file: BinaryIO) -> Iterator[_OpenVariable]:
    order = _byte_order(path, file.read(520))
    size_bytes, place = path.stat().st_size, 128
    while place < size_bytes:
        file.seek(place)
        kind, length = struct.unpack(f"{order}2I", _read_exactly(file, 8))
        place += 8 + length
        if place > size_bytes:
            raise _DamagedError(f"truncated; the headers say {place:,} bytes, but the file has {size_bytes:,}")
        stream: _Stream = file
        if kind == _COMPRESSED:
            stream = _Inflated(file, length)
            kind, length = struct.unpack(f"{order}2I", _read_exactly(stream, 8))
        if kind != _MATRIX:
            raise _DamagedError(f"contains an element of type {kind}, expected variables")
        yield _read_header(stream, order)


def _byte_order(path: Path, start: bytes) -> str:
    if start.startswith((_HDF5, b"MATLAB 7.3")) or start[512:] == _HDF5:
        raise SourceError(
            f"{path}: a .mat file of version 7.3 (HDF5), which is not supported; save it in MATLAB with '-v7', or "
            "download the publisher's file"
        )
    orders = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
    if start[124:128] not in orders:
        found = start[124:128].hex(" ") or "missing"
        raise SourceError(f"{path}: not a .mat file of version 5 (bytes 124–127 are {found})")
    return orders[start[124:128]]


def _read_header(stream: _Stream, order: str) -> _OpenVariable:
    flags = _read_element(stream, order, most=8)
    dimensions = _read_element(stream, order, most=4 * 32)
    name = _read_element(stream, order, most=1024)
    if len(flags) != 8 or len(dimensions) % 4:
        raise _DamagedError("the header of a variable is damaged")
    word = struct.unpack(f"{order}I", flags[:4])[0]
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    matlab_class = _CLASSES.get(word & 0xFF, f"number {word & 0xFF}")
    if (word >> 8) & _COMPLEX:
        matlab_class = f"complex {matlab_class}"
    if min(shape, default=-1) < 0:
        raise _DamagedError(f"a variable claims the shape {shape}")
    return _OpenVariable(name.decode("latin1"), Variable(shape, matlab_class), stream, order)


def _read_values(opened: _OpenVariable) -> NDArray[Any]:
    (shape, matlab_class), name = opened.variable, opened.name
    if matlab_class not in _READ:
        raise _DamagedError(f"{name} is of class {matlab_class}, expected {' or '.join(_READ)}")
    kind, length, small = _read_tag(opened.stream, opened.order)
    stored = np.dtype(opened.order + _STORED.get(kind, "u1"))
    wanted = math.prod(shape) * stored.itemsize
    if kind not in _STORED or length != wanted:
        raise _DamagedError(f"{name} has {length:,} bytes of type {kind}, expected {wanted:,} for the shape {shape}")
    if max(wanted, math.prod(shape) * np.dtype(_READ[matlab_class]).itemsize) > MAX_BYTES:
        raise _DamagedError(f"{name} claims {wanted:,} bytes, more than {MAX_BYTES:,}")
    data = np.frombuffer(small[:length], np.uint8) if length and small else _read_bytes(opened.stream, length)
    if isinstance(opened.stream, _Inflated):
        padding = -length % 8
        if len(opened.stream.read(padding + 1)) > padding:  # also reads the checksum, which zlib verifies
            raise _DamagedError(f"more bytes follow than the {length:,} of {name}")
    return data.view(stored).reshape(shape, order="F").astype(_READ[matlab_class], copy=False)


def _read_bytes(stream: _Stream, length: int) -> NDArray[np.uint8]:
    data = np.empty(length, np.uint8)
    for start in range(0, length, CHUNK_BYTES):
        chunk = data[start : start + CHUNK_BYTES]
        chunk[:] = np.frombuffer(_read_exactly(stream, len(chunk)), np.uint8)
    return data


def _read_element(stream: _Stream, order: str, most: int) -> bytes:
    """The data of a short element; the padding after it is read too."""
    _, length, small = _read_tag(stream, order)
    if small:
        return small[:length]
    if length > most:
        raise _DamagedError(f"the header of a variable has a part of {length:,} bytes, expected {most} at most")
    return _read_exactly(stream, length + -length % 8)[:length]


def _read_tag(stream: _Stream, order: str) -> tuple[int, int, bytes]:
    """Type, length, and the data itself if it is at most four bytes and so stored in the tag."""
    first, second = struct.unpack(f"{order}2I", packed := _read_exactly(stream, 8))
    if first >> 16:
        if first >> 16 > 4:
            raise _DamagedError("the header of a variable is damaged")
        return first & 0xFFFF, first >> 16, packed[4:]
    return first, second, b""


def _read_exactly(stream: _Stream, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise _DamagedError(f"truncated; expected {length:,} bytes, but {len(data):,} are left")
    return data
