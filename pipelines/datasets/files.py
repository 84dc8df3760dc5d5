"""One interface to files in folders and in zips that have not been unpacked."""

import errno
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Self

from pipelines.datasets.listing import Location, Rejected
from pipelines.errors import SourceError
from pipelines.places import Place, Remote, below, is_remote, open_to_read, read_remote, refusing_store_errors

__all__ = ["FileReader", "SourceFiles", "unpack_hint"]

MAX_BYTES = 256 * 2**20
"""Far more than any image of a data set has; a zip member that claims more is not unpacked."""
COPIED_BYTES = 2**24
"""Of a zip in an object store at a time."""


class FileReader:
    """Reads locations, and opens each zip once. Raises whatever file systems and damaged zips raise, and ValueError for
    a file that is larger than `max_bytes` or not a regular file: pipes and devices never block it. Raises StoreError
    where an object store does not answer, which says nothing about the file.

    A zip in an object store is first copied to a temporary file without a name: to read its members there would take
    two requests for each image."""

    def __init__(self) -> None:
        self._archives: dict[str, zipfile.ZipFile] = {}
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def read(self, location: Location, max_bytes: int = MAX_BYTES) -> bytes:
        if not location.archive:
            read = _read_remote_file if is_remote(location.path) else _read_file
            return read(location.path, max_bytes)
        if location.archive not in self._archives:
            file = self._opened.enter_context(_open_archive(location.archive))
            self._archives[location.archive] = self._opened.enter_context(zipfile.ZipFile(file))
        archive = self._archives[location.archive]
        _refuse_huge(archive.getinfo(location.path).file_size, max_bytes)
        return archive.read(location.path)  # stops at that size and checks the CRC


class SourceFiles:
    """The files of folders and zips by their relative path, with / as the separator.

    Names that begin with a dot, and __MACOSX, are created by operating systems and file managers: they are `ignored`.
    `unusable` lists files and folders whose names cannot be used, with the reason."""

    def __init__(self) -> None:
        self.by_path: dict[str, Location] = {}
        self.empty_folders: list[str] = []
        self.ignored: list[str] = []
        self.unusable: list[Rejected] = []

    def add_folder(self, root: Place, name: str) -> None:
        """Adds everything under root/name, as name/…. Links are followed, except those to a folder that contains them.
        Raises SourceError for a folder that cannot be listed and for a broken link to a folder."""
        if not isinstance(root, Path):
            self._add_remote_folder(root / name, name)
        elif (root / name).is_dir():
            above = Path(os.path.realpath(root / name)).parents
            self._add_folder(str(root / name), name, frozenset(map(str, above)))

    def _add_folder(self, folder: str, relative: str, above: frozenset[str]) -> None:
        inside = above | {os.path.realpath(folder)}
        try:
            with os.scandir(folder) as entries:
                everything = sorted(entries, key=lambda entry: entry.name)
            self.ignored += [entry.path for entry in everything if _is_ignored(entry.name)]
            seen = [entry for entry in everything if not _is_ignored(entry.name)]
        except OSError as error:
            raise SourceError(f"{folder}: cannot be listed ({error.strerror}); change its permissions") from None
        for entry in seen:
            if not _is_utf8(entry.name):
                name = os.fsencode(entry.path).decode(errors="backslashreplace")
                self.unusable.append(Rejected(name, "its name is not valid UTF-8; rename it"))
            elif entry.is_symlink() and "." not in entry.name and not Path(entry.path).exists():
                target = Path(entry.path).readlink()
                raise SourceError(
                    f"{entry.path}: is a link to {target}, which does not exist; mount it, or remove the link"
                )
            elif not entry.is_dir():
                self.by_path[f"{relative}/{entry.name}"] = Location("", entry.path)
            elif not entry.is_symlink() or os.path.realpath(entry.path) not in inside:
                self._add_folder(entry.path, f"{relative}/{entry.name}", inside)
        if not seen:
            self.empty_folders.append(relative)

    def _add_remote_folder(self, folder: Place, relative: str) -> None:
        for path in sorted(below(folder)):
            if any(map(_is_ignored, PurePosixPath(path).parts)):
                self.ignored.append(str(folder / path))
            else:
                self.by_path[f"{relative}/{path}"] = Location("", str(folder / path))

    @property
    def remarks(self) -> list[str]:
        """One sentence about the ignored names, if there are any."""
        if not self.ignored:
            return []
        return [f"{len(self.ignored):,} names that begin with a dot, or __MACOSX, are ignored: {self.ignored[0]}, …"]

    def add_archive(self, archive: Place, prefix: str = "") -> None:
        """Adds every member of the zip, with `prefix` removed; \\ is read as /. Raises SourceError for a member whose
        path leaves the archive, or that occurs twice, and StoreError where an object store does not answer."""
        try:
            with open_to_read(archive) as file, zipfile.ZipFile(file) as opened:
                names = opened.namelist()
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            if not isinstance(archive, Path):
                _first_bytes(archive, 1)  # if the store fails, zipfile calls that a damaged zip
            raise SourceError(f"{archive}: not a readable zip ({error}); download it again") from None
        files: dict[str, str] = {}
        folders: set[str] = set()
        for name in names:
            path = PurePosixPath(name.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts:
                raise SourceError(
                    f"{archive}: member {name!r} has a path outside the archive; download it from its publisher"
                )
            if any(map(_is_ignored, path.parts)):
                if not name.endswith(("/", "\\")):
                    self.ignored.append(str(Location(str(archive), name)))
                continue
            if name.endswith(("/", "\\")):
                folders.add(str(path))
            elif str(path) in files:
                raise SourceError(f"{archive}: member {name!r} occurs twice; download it from its publisher")
            else:
                files[str(path)] = name
        self.by_path |= {path.removeprefix(prefix): Location(str(archive), name) for path, name in files.items()}
        filled = {str(PurePosixPath(path).parent) for path in (*files, *folders)}
        self.empty_folders += [folder.removeprefix(prefix) for folder in sorted(folders - filled)]


def unpack_hint(folder: Place, readable: Collection[str] = ()) -> str:
    """A remedy to append to an error if `folder` has zips, up to two levels deep, that are not named `readable`."""
    found = [path for pattern in ("*.zip", "*/*.zip", "*/*/*.zip") for path in sorted(map(str, folder.glob(pattern)))]
    zips = [path.removeprefix(f"{folder}/") for path in found if PurePosixPath(path).name not in readable]
    if len(zips) > 1:
        return f"; unpack the {len(zips)} zips in it, such as {zips[0]}"
    return f"; unpack {zips[0]}" if zips else ""


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _open_archive(name: str) -> IO[bytes]:
    if not is_remote(name):
        return Path(name).open("rb")
    place, copy = read_remote(name), tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        with refusing_store_errors(place), place.fs.open(place.path, "rb", block_size=COPIED_BYTES) as remote:
            shutil.copyfileobj(remote, copy, COPIED_BYTES)
    except BaseException:
        copy.close()
        raise
    return copy


def _read_remote_file(name: str, max_bytes: int) -> bytes:
    """Raises FileNotFoundError where there is no such file, and StoreError where the store does not answer."""
    place = read_remote(name)
    data = _first_bytes(place, max_bytes + 1)
    if data is None:
        raise FileNotFoundError(f"{name} does not exist")
    _refuse_huge(len(data), max_bytes)
    return data


def _first_bytes(place: Remote, count: int) -> bytes | None:
    """At most `count`; None if there is no such file. Raises StoreError."""
    with refusing_store_errors(place):
        try:
            return bytes(place.fs.cat_file(place.path, start=0, end=count))
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EINVAL:  # of an empty file, which has no such range
                raise
            return b""


def _read_file(path: str, max_bytes: int) -> bytes:
    with open(path, "rb", buffering=0, opener=_open_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        _refuse_huge(status.st_size, max_bytes)
        data = file.read(status.st_size + 1)
    if len(data) != status.st_size:
        raise ValueError(f"{status.st_size:,} bytes when opened, but a different size when read")
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _refuse_huge(size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise ValueError(f"{size_bytes:,} bytes is over the limit of {max_bytes:,}")
