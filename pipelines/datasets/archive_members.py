"""The members of zip and tar.gz files under one interface. Whether they are safe to unpack is checked elsewhere."""

import gzip
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

__all__ = ["ARCHIVE_ERRORS", "Member", "Members", "open_archive"]

ARCHIVE_ERRORS = (
    BadZipFile, tarfile.TarError, gzip.BadGzipFile, RuntimeError, ValueError, EOFError, zlib.error, OverflowError,
)  # fmt: skip
"""The exceptions raised when a file is read that is damaged or not an archive."""
_MAX_AT_ONCE_BYTES = 2**20
_MAX_PADDING_BYTES = 2**24
_TAR_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)


class Member(NamedTuple):
    """`problem` says why it is not a regular file or folder, and is empty otherwise. `open` reads it from the start."""

    name: str
    size_bytes: int
    is_folder: bool
    problem: str
    open: Callable[[], IO[bytes]]


Members = Iterator[Member]
"""In archive order; a member's header is available before anything after it is read."""


def open_archive(archive: Path) -> AbstractContextManager[Members]:
    """The members of the zip or tar.gz, which can be opened inside the context. Raises one of ARCHIVE_ERRORS."""
    return _open_tar(archive) if archive.name.endswith((".tar.gz", ".tgz")) else _open_zip(archive)


@contextmanager
def _open_zip(archive: Path) -> Iterator[Members]:
    with ZipFile(archive) as opened:
        yield (_zip_member(opened, member) for member in opened.infolist())


def _zip_member(opened: ZipFile, member: ZipInfo) -> Member:
    problem = ""
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        problem = "is a link or a special file"
    elif member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        problem = "is neither stored nor deflated"
    name = member.filename.replace("\\", "/")  # PowerShell writes backslashes
    # ZipFile stops at the declared size and then checks the CRC, so a header cannot understate a bomb.
    return Member(name, member.file_size, name.endswith("/"), problem, partial(opened.open, member))


class _Gzip(gzip.GzipFile):
    """Limits the size of a single read: tarfile reads long names and extended headers into memory at the size that the
    archive states."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _MAX_AT_ONCE_BYTES:
            raise tarfile.ReadError("a header is too long")
        return super().read(size)


@contextmanager
def _open_tar(archive: Path) -> Iterator[Members]:
    with _Gzip(archive) as unzipped, tarfile.open(fileobj=unzipped, mode="r:") as opened:
        yield _tar_members(opened, unzipped)


def _tar_members(opened: tarfile.TarFile, unzipped: _Gzip) -> Members:
    for member in opened:
        problem = ""
        if not (member.isdir() or (member.type in _TAR_FILES and not member.issparse())):
            problem = "is a link or a special file"
        elif member.size < 0:
            problem = "declares a negative size"  # would seek back to a header that was already read
        opener = cast("Callable[[], IO[bytes]]", partial(opened.extractfile, member))
        yield Member(member.name.replace("\\", "/"), member.size, member.isdir(), problem, opener)
    # tarfile treats a damaged header as the end. Reading further detects that, and lets gzip verify its CRC.
    unzipped.seek(opened.offset)
    while rest := unzipped.read(_MAX_AT_ONCE_BYTES):
        if rest.strip(b"\0") or unzipped.tell() - opened.offset > _MAX_PADDING_BYTES:
            raise tarfile.ReadError("data after the last member")
