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

MAX_BYTES = 2**30
"""EMNIST, the largest data set in this format, has 0.55 × 10⁹; a file whose header claims more is refused."""
CHUNK_BYTES = 2**20
_UNSIGNED_BYTE = 0x08
_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}


def idx_shape(path: Path, dimensions: int) -> tuple[int, ...]:
    """The sizes in the header of a file of uint8 values with `dimensions` dimensions. Raises SourceError."""
    with _opened(path) as file:
        return _read_header(path, file, dimensions)


def check_idx(path: Path, dimensions: int) -> tuple[int, ...]:
    """The shape, after checking that the file has as many values as its header says. Raises SourceError."""
    with _opened(path) as file:
        shape = _read_header(path, file, dimensions)
        length = _length(file, math.prod(shape)) if _is_gzipped(path) else path.stat().st_size - file.tell()
    _check_length(path, shape, length)
    return shape


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The values. A file that is not gzipped is memory-mapped. Raises SourceError."""
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
        raise SourceError(f"{path}: not readable ({reason}); download it again") from None


def _is_gzipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _read_header(path: Path, file: BinaryIO, dimensions: int) -> tuple[int, ...]:
    header = file.read(4 + 4 * dimensions)
    if len(header) < 4 + 4 * dimensions:
        raise SourceError(
            f"{path}: {len(header)} bytes are too short for an idx header of {dimensions} dimensions; download it again"
        )
    zero, kind, found = struct.unpack(">HBB", header[:4])
    if zero or kind not in _TYPES:
        raise SourceError(f"{path}: starts with {header[:4].hex(' ')}, not with the magic number of an idx file")
    if kind != _UNSIGNED_BYTE:
        raise SourceError(f"{path}: holds {_TYPES[kind]} values (magic number {header[:4].hex(' ')}), expected uint8")
    if found != dimensions:
        kinds = "labels instead of images, or images instead of labels"
        raise SourceError(f"{path}: has {found} dimensions, expected {dimensions}; check whether it has {kinds}")
    shape = struct.unpack(f">{dimensions}I", header[4:])
    if not 0 < math.prod(shape) <= MAX_BYTES:
        raise SourceError(f"{path}: the header claims {_product(shape)} bytes, expected 1 to {MAX_BYTES:,}")
    return shape


def _length(file: BinaryIO, wanted: int) -> int:
    """The number of bytes left, counted to at most `wanted` + 1, since a small gzip can hold terabytes."""
    length = 0
    while length <= wanted and (chunk := file.read(min(CHUNK_BYTES, wanted + 1 - length))):
        length += len(chunk)
    return length


def _check_length(path: Path, shape: tuple[int, ...], length: int) -> None:
    wanted = math.prod(shape)
    if length < wanted:
        raise SourceError(
            f"{path}: truncated; the header says {_product(shape)} bytes, but {length:,} follow; download it again"
        )
    if length > wanted:
        raise SourceError(f"{path}: more bytes than the {_product(shape)} in the header; download it again")


def _product(shape: tuple[int, ...]) -> str:
    sizes = " × ".join(f"{size:,}" for size in shape)
    return sizes if len(shape) == 1 else f"{sizes} = {math.prod(shape):,}"
