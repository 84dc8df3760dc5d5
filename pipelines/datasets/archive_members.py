"""What zips and tar.gz files hold, in one form, without a word on whether it may be unpacked."""

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

__all__ = ["DAMAGE", "Member", "Members", "open_archive"]

DAMAGE = (
    BadZipFile, tarfile.TarError, gzip.BadGzipFile, RuntimeError, ValueError, EOFError, zlib.error, OverflowError,
)  # fmt: skip
"""What an archive that is damaged or none raises when it is read."""
_MOST_AT_ONCE_BYTES = 2**20
_MOST_PADDING_BYTES = 2**24
_TAR_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)


class Member(NamedTuple):
    """`problem`: why it is not a plain file or folder, or empty. `open` reads it from its beginning."""

    name: str
    size_bytes: int
    is_folder: bool
    problem: str
    open: Callable[[], IO[bytes]]


Members = Iterator[Member]
"""In the order of the archive; what it declares is known before what lies after it is read."""


def open_archive(archive: Path) -> AbstractContextManager[Members]:
    """The members of the zip or tar.gz, which can be opened until the context ends. Raises one of DAMAGE."""
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
    name = member.filename.replace("\\", "/")  # which PowerShell writes
    # ZipFile stops at the declared size and then checks the CRC, so a header cannot understate a bomb.
    return Member(name, member.file_size, name.endswith("/"), problem, partial(opened.open, member))


class _Gzip(gzip.GzipFile):
    """Reads little at once: tarfile takes the size of a long name, or of extended headers, from the archive, and reads
    that much into memory."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _MOST_AT_ONCE_BYTES:
            raise tarfile.ReadError("a header that is too long")
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
            problem = "declares a negative size"  # which leads back to a header that was read before
        opener = cast("Callable[[], IO[bytes]]", partial(opened.extractfile, member))
        yield Member(member.name.replace("\\", "/"), member.size, member.isdir(), problem, opener)
    # tarfile takes a damaged header for the end. Reading on finds it, and lets gzip compare its CRC.
    unzipped.seek(opened.offset)
    while rest := unzipped.read(_MOST_AT_ONCE_BYTES):
        if rest.strip(b"\0") or unzipped.tell() - opened.offset > _MOST_PADDING_BYTES:
            raise tarfile.ReadError("data after the last member")
