"""One view of files that lie in folders or in zips that nobody has extracted."""

import os
import zipfile
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import NamedTuple, Self

from pipelines.errors import SourceError

__all__ = ["FileReader", "Location", "SourceFiles"]

MOST_BYTES = 256 * 2**20
"""No road-sign image or annotation comes near it; a zip member that claims more is not unpacked."""


class Location(NamedTuple):
    """A file: `path` on disk, or the member `path` of the zip `archive`."""

    archive: str
    path: str

    def __str__(self) -> str:
        return f"{self.archive}!{self.path}" if self.archive else self.path


class FileReader:
    """Reads locations, opening each zip once. Raises whatever file systems and damaged zips raise."""

    def __init__(self) -> None:
        self._archives: dict[str, zipfile.ZipFile] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for archive in self._archives.values():
            archive.close()

    def read(self, location: Location) -> bytes:
        if not location.archive:
            _refuse_huge(Path(location.path).stat().st_size)
            return Path(location.path).read_bytes()
        if location.archive not in self._archives:
            self._archives[location.archive] = zipfile.ZipFile(location.archive)
        archive = self._archives[location.archive]
        _refuse_huge(archive.getinfo(location.path).file_size)
        return archive.read(location.path)


class SourceFiles:
    """The files under a folder and in named zips, by their path relative to it, with / between the parts."""

    def __init__(self) -> None:
        self.by_path: dict[str, Location] = {}
        self.empty_folders: list[str] = []

    def add_folder(self, root: Path, name: str) -> None:
        """Everything under root/name, as name/…"""
        for folder, folders, files in os.walk(root / name):
            relative = Path(folder).relative_to(root).as_posix()
            for file in files:
                self.by_path[f"{relative}/{file}"] = Location("", f"{folder}/{file}")
            if not folders and not files:
                self.empty_folders.append(relative)

    def add_archive(self, archive: Path, prefix: str = "") -> None:
        """Every member of the zip, without `prefix`. Raises SourceError for a member that would climb out of a
        folder."""
        try:
            with zipfile.ZipFile(archive) as opened:
                names = opened.namelist()
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise SourceError(f"{archive}: not a readable zip ({error}); fetch it again") from None
        for name in names:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name.replace("\\", "/")).parts:
                raise SourceError(f"{archive}: member {name!r} climbs out of the archive; fetch it from its publisher")
            if not name.endswith("/"):
                self.by_path[name.removeprefix(prefix)] = Location(str(archive), name)
        filled = {str(PurePosixPath(name).parent) for name in names if not name.endswith("/")}
        folders = {name.rstrip("/") for name in names if name.endswith("/")}
        parents = {str(PurePosixPath(name).parent) for name in folders}
        self.empty_folders += [folder.removeprefix(prefix) for folder in sorted(folders - filled - parents)]


def _refuse_huge(size_bytes: int) -> None:
    if size_bytes > MOST_BYTES:
        raise ValueError(f"{size_bytes:,} bytes is over the limit of {MOST_BYTES:,}")
