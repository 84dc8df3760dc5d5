"""Files of any file system that fsspec knows, for random access without reading ahead."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from fsspec.spec import AbstractFileSystem

__all__ = ["RangeFile"]


class RangeFile(io.RawIOBase):
    """A file of any fsspec file system, one request per read. It shares no position with other readers of the file,
    unlike the files of fsspec's memory file system, and does not read ahead, unlike those of object stores (5 MB for a
    footer). All errors are OSErrors."""

    def __init__(self, filesystem: AbstractFileSystem, path: str) -> None:
        self._filesystem = filesystem
        self._path = path
        with _os_errors():
            self._size = int(filesystem.size(path))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._size, self._at + size)
        with _os_errors():
            data = bytes(self._filesystem.cat_file(self._path, start=self._at, end=end)) if self._at < end else b""
        self._at += len(data)
        return data


@contextmanager
def _os_errors() -> Iterator[None]:
    """Converts errors of file systems to OSError: where no server answers, s3fs raises botocore's."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(str(error)) from error
