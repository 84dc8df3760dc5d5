"""Reads CIFAR's python batches without letting the pickle construct or call anything of its own choice.

The published files are Python 2 pickles of a dict with lists, strings and one uint8 array; Python 3 writes the same
content in a few other forms. The names of NumPy's functions in a file are mapped to the methods below, which build
nothing but uint8 arrays; every other name is refused.
"""

import io
import math
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.contract import Images
from pipelines.errors import SourceError

__all__ = ["SIDE_PX", "batch_images", "batch_labels", "label_names"]

SIDE_PX = 32
MAX_BYTES = 256 * 2**20
"""The largest published batch, train of CIFAR-100, has 155 × 10⁶ bytes."""


def batch_images(path: Path) -> Images:
    """The images of a batch, N × 32 × 32 × RGB. Raises SourceError."""
    return _pixels(path, _read_dict(path)).reshape(-1, 3, SIDE_PX, SIDE_PX).transpose(0, 2, 3, 1)


def batch_labels(path: Path, key: str) -> list[int]:
    """The labels under `key` in a batch, one per image. Raises SourceError."""
    batch = _read_dict(path)
    labels = batch.get(key)
    if not isinstance(labels, list) or any(type(label) is not int for label in labels):
        raise SourceError(f"{path}: has no list of integers under {key!r}; its keys are {', '.join(sorted(batch))}")
    count = len(_pixels(path, batch))
    if len(labels) != count:
        raise SourceError(f"{path}: has {len(labels):,} {key} for its {count:,} images")
    return labels


def label_names(path: Path, key: str, count: int) -> tuple[str, ...]:
    """The `count` class names under `key` in a meta file. Raises SourceError."""
    names = _read_dict(path).get(key)
    if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
        raise SourceError(f"{path}: has no list of names under {key!r}")
    decoded = tuple(_text(name) for name in names)
    if len(set(decoded)) != count or len(decoded) != count:
        raise SourceError(f"{path}: has {len(decoded)} {key}, {len(set(decoded))} of them distinct, expected {count}")
    return decoded


class _DType(NamedTuple):
    name: str

    def __setstate__(self, state: object) -> None:
        """Ignores byte order and alignment, which do not matter for single bytes."""


class _Array:
    """Keeps the argument of NumPy's __setstate__."""

    __slots__ = ("state",)
    state: Any

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle._Unpickler):
    """Maps names to bound methods instead of functions, since a pickle cannot set their attributes.

    Python's own, since the one in C allocates as much memory as a damaged file says: 16 bytes for each memo number
    below the one that LONG_BINPUT names. Two of its operations are replaced: it would allocate a whole byte array
    before it reads it, and take the first letters of a name for the name where the file ends."""

    read: Callable[[int], bytes]
    readline: Callable[[], bytes]
    append: Callable[[object], None]

    def __init__(self, path: Path, file: io.BytesIO) -> None:
        super().__init__(file, fix_imports=False, encoding="bytes")
        self._path = path

    def _load_byte_array(self) -> None:
        (length,) = struct.unpack("<Q", self.read(8))
        data = self.read(length)
        if len(data) < length:
            raise EOFError("the file ends in a byte array")
        self.append(bytearray(data))

    def _load_global(self) -> None:
        module, name = self.readline(), self.readline()
        if not name.endswith(b"\n"):
            raise EOFError("the file ends in a name")
        self.append(self.find_class(module[:-1].decode(), name[:-1].decode()))

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch, pickle.BYTEARRAY8[0]: _load_byte_array, pickle.GLOBAL[0]: _load_global,
    }  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        match module.replace("numpy._core", "numpy.core"), name:
            case "numpy", "dtype":
                return self._dtype
            case "numpy", "ndarray":
                return "ndarray"
            case "numpy.core.multiarray", "_reconstruct":
                return self._array
            case "numpy.core.numeric", "_frombuffer":
                return self._array_of_buffer
            case "_codecs", "encode":
                return self._bytes
        raise SourceError(
            f"{self._path}: asks for {module}.{name}, which a CIFAR batch does not contain; "
            "the file may be malicious: delete it, and download it from its publisher"
        )

    def _dtype(self, name: str | bytes, *_: object) -> _DType:
        if _text(name) != "u1":
            raise SourceError(f"{self._path}: contains an array of {_text(name)!r}, expected uint8")
        return _DType("u1")

    def _array(self, *_: object) -> _Array:
        return _Array()

    def _array_of_buffer(self, data: bytes, dtype: object, shape: object, order: str) -> _Array:
        array = _Array()
        array.state = (1, shape, dtype, order == "F", data)
        return array

    def _bytes(self, text: str, encoding: str) -> bytes:
        """Decodes bytes as Python 3 writes them in protocol 2."""
        if encoding != "latin1":
            raise SourceError(f"{self._path}: asks for the encoding {encoding!r}, which a CIFAR batch does not contain")
        return text.encode("latin1")


def _read_dict(path: Path) -> dict[str, Any]:
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_BYTES:
            raise SourceError(f"{path}: {size_bytes:,} bytes, more than any CIFAR batch ({MAX_BYTES:,})")
        file = io.BytesIO(path.read_bytes())
        value = _Unpickler(path, file).load()
        rest = size_bytes - file.tell()
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{path}: not readable ({error.strerror or error}); download it again") from None
    except Exception as error:  # noqa: BLE001 - pickle raises many exception types on damaged bytes
        reason = f"{type(error).__name__}: {error}"
        raise SourceError(f"{path}: truncated, damaged or not a pickle ({reason}); download it again") from None
    if rest:
        raise SourceError(f"{path}: {rest:,} bytes follow the end of the pickle; download it again")
    if not isinstance(value, dict) or not all(isinstance(key, str | bytes) for key in value):
        raise SourceError(f"{path}: contains a {type(value).__name__}, expected a dict with string keys")
    return {_text(key): item for key, item in value.items()}


def _pixels(path: Path, batch: dict[str, Any]) -> NDArray[np.uint8]:
    """The pixels, N × 3072: in each row all red values, then all green, then all blue."""
    width = 3 * SIDE_PX**2
    array = batch.get("data")
    if not isinstance(array, _Array):
        raise SourceError(f"{path}: has no array under 'data'; its keys are {', '.join(sorted(batch))}")
    try:
        _, shape, dtype, is_fortran, data = array.state
        count, columns = shape
        raw = np.frombuffer(data, np.uint8)
        is_right = isinstance(dtype, _DType) and len(raw) == math.prod(shape) and columns == width and count > 0
    except (AttributeError, TypeError, ValueError):
        raise SourceError(f"{path}: the array under 'data' is damaged; download it again") from None
    if not is_right:
        raise SourceError(f"{path}: 'data' is {shape} uint8 of {len(raw):,} bytes, expected N × {width}, N > 0")
    return raw.reshape(count, columns, order="F" if is_fortran else "C")


def _text(value: str | bytes) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value
