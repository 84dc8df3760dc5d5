"""The idx format of MNIST, gzipped or not: a magic number, the sizes of the dimensions, then the values."""

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import SourceError

__all__ = ["check_idx", "idx_shape", "read_idx"]

MOST_BYTES = 2**30
"""EMNIST, the largest set in this format, has 0.55 × 10⁹; a header that claims more is not followed."""
CHUNK_BYTES = 2**20
_UNSIGNED_BYTE = 0x08
_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}


def idx_shape(path: Path, dimensions: int) -> tuple[int, ...]:
    """The sizes in the header of a file of uint8 values with `dimensions` dimensions. Raises SourceError."""
    with _opened(path) as file:
        return _read_header(path, file, dimensions)


def check_idx(path: Path, dimensions: int) -> tuple[int, ...]:
    """The shape, once the file is known to hold as many values as its header says. Raises SourceError."""
    with _opened(path) as file:
        shape = _read_header(path, file, dimensions)
        length = _length(file, math.prod(shape)) if _is_gzipped(path) else path.stat().st_size - file.tell()
    _check_length(path, shape, length)
    return shape


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The values; those of a file that is not gzipped stay on disk until they are used. Raises SourceError."""
    with _opened(path) as file:
        shape = _read_header(path, file, dimensions)
        wanted = math.prod(shape)
        if not _is_gzipped(path):
            start = file.tell()
            _check_length(path, shape, path.stat().st_size - start)
            return np.memmap(path, np.uint8, mode="r", offset=start, shape=shape)
        values = file.read(wanted + 1)
    _check_length(path, shape, len(values))
    return np.frombuffer(values, np.uint8).reshape(shape)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with cast(BinaryIO, gzip.open(path)) if _is_gzipped(path) else path.open("rb") as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{path}: not readable ({reason}); fetch it again") from None


def _is_gzipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _read_header(path: Path, file: BinaryIO, dimensions: int) -> tuple[int, ...]:
    header = file.read(4 + 4 * dimensions)
    if len(header) < 4 + 4 * dimensions:
        raise SourceError(f"{path}: {len(header)} bytes are no idx header of {dimensions} dimensions; fetch it again")
    zero, kind, found = struct.unpack(">HBB", header[:4])
    if zero or kind not in _TYPES:
        raise SourceError(f"{path}: starts with {header[:4].hex(' ')}, not with the magic number of an idx file")
    if kind != _UNSIGNED_BYTE:
        raise SourceError(f"{path}: holds {_TYPES[kind]} values (magic number {header[:4].hex(' ')}), expected uint8")
    if found != dimensions:
        raise SourceError(f"{path}: has {found} dimensions, expected {dimensions}; is it the file of labels or images?")
    shape = struct.unpack(f">{dimensions}I", header[4:])
    if not 0 < math.prod(shape) <= MOST_BYTES:
        raise SourceError(f"{path}: its header claims {_product(shape)} bytes, expected 1 to {MOST_BYTES:,}")
    return shape


def _length(file: BinaryIO, wanted: int) -> int:
    """How many bytes are left, counted no further than one more than wanted: a small gzip can hold terabytes."""
    length = 0
    while length <= wanted and (chunk := file.read(min(CHUNK_BYTES, wanted + 1 - length))):
        length += len(chunk)
    return length


def _check_length(path: Path, shape: tuple[int, ...], length: int) -> None:
    wanted = math.prod(shape)
    if length < wanted:
        raise SourceError(
            f"{path}: truncated; its header says {_product(shape)} bytes and {length:,} follow; fetch it again"
        )
    if length > wanted:
        raise SourceError(f"{path}: more bytes follow than the {_product(shape)} of its header; fetch it again")


def _product(shape: tuple[int, ...]) -> str:
    sizes = " × ".join(f"{size:,}" for size in shape)
    return sizes if len(shape) == 1 else f"{sizes} = {math.prod(shape):,}"
