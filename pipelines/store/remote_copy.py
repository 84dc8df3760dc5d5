"""Folders in an object store for programs that need a file system: they work on a copy on this machine, which is sent.

Trainings and evaluations append to files, rename and lock them, and read them again, which an object store cannot do.
The copy is in the temporary folder, for this process, and is removed when it has been sent."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path

from pipelines.errors import StoreError
from pipelines.places import Place, Remote, below, read_remote, refusing_store_errors

__all__ = ["RemoteCopy", "fetched", "here", "kept", "named", "shown"]

LOG = logging.getLogger(__name__)
NOT_SENT = Path("not_sent")


def here(place: Place) -> Path:
    """Where the files of `place` are on this machine: `place` itself, or its copy."""
    return place if isinstance(place, Path) else _copies() / place.path


def shown(path: Path) -> str:
    """The name of a file or folder that the user knows: the URL, if `path` is in a copy."""
    return f"s3://{path.relative_to(_copies()).as_posix()}" if path.is_relative_to(_copies()) else str(path)


def _copies() -> Path:
    return Path(tempfile.gettempdir()) / f"copies-{os.getpid()}"


def named(url: str) -> Remote:
    """What a URL that a user has typed names. Raises StoreError."""
    try:
        return read_remote(url)
    except ValueError as error:
        raise StoreError(f"{url}: {error}") from None


def fetched(url: str) -> Path:
    """A copy of one file. Raises StoreError."""
    file = named(url)
    here(file).parent.mkdir(parents=True, exist_ok=True)
    with refusing_store_errors(file):
        file.fs.get_file(file.path, str(here(file)))
    return here(file)


class RemoteCopy:
    """The copy of a folder. A file that is called `last`, at any depth, is sent after the others: readers go by it."""

    def __init__(self, place: Remote, last: str = "") -> None:
        self.place = place
        self.folder = here(place)
        self._last = last
        self._same: dict[str, tuple[int, int]] = {}
        """Size and time of change of the files that are the same here and there."""

    @classmethod
    def of(cls, copy: Path, last: str = "") -> "RemoteCopy | None":
        """None for a folder that is not a copy."""
        return cls(read_remote(shown(copy)), last) if copy.is_relative_to(_copies()) else None

    def fetch(self, pattern: str = "*") -> None:
        """Replaces the copies of the files whose paths in the folder match the pattern, in which * stands for slashes
        too. Raises StoreError."""
        with refusing_store_errors(self.place):
            paths = [path for path in below(self.place) if _is_ours(path) and fnmatchcase(path, pattern)]
            for path in paths:
                if {"", ".."} & set(path.split("/")):
                    raise StoreError(f"{self.place}: has an object named {path}, which is in no folder; remove it")
                target = self.folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                self.place.fs.get_file((self.place / path).path, str(target))
                self._same[path] = _state(target)

    def send(self) -> None:
        """Sends what has changed here, and removes there what was removed here; other threads may write and remove
        files meanwhile. Raises StoreError."""
        states: dict[str, tuple[int, int]] = {}
        for file in sorted((path for path in self.folder.rglob("*") if path.is_file()), key=self._order):
            with suppress(FileNotFoundError):
                states[file.relative_to(self.folder).as_posix()] = _state(file)
        with refusing_store_errors(self.place):
            for path, state in states.items():
                if _is_ours(path) and self._same.get(path) != state and self._put(path):
                    self._same[path] = state
            for path in self._same.keys() - states.keys():
                (self.place / path).unlink(missing_ok=True)
                del self._same[path]

    def _put(self, path: str) -> bool:
        """False if the file has been removed here since it was listed."""
        try:
            self.place.fs.put_file(str(self.folder / path), (self.place / path).path)
        except FileNotFoundError:
            if (self.folder / path).exists():
                raise
            return False
        return True

    def send_later(self) -> None:
        """As `send`, for a program that goes on and sends again: a failure is a warning."""
        try:
            self.send()
        except StoreError as error:
            LOG.warning("warning: %s; it is tried again with the next files", error)

    @contextmanager
    def sent(self) -> Iterator[None]:
        """What the block leaves in the folder is sent at its end, also if it raises, and the copy is removed. What
        cannot be sent is moved to the folder not_sent, which the StoreError names, or a warning if the block has
        raised."""
        try:
            yield
        except BaseException:
            try:
                self._send_or_keep()
            except StoreError as error:
                LOG.warning("warning: %s", error)
            raise
        else:
            self._send_or_keep()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _send_or_keep(self) -> None:
        try:
            self.send()
        except StoreError as error:
            place = NOT_SENT / self.place.path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(place, ignore_errors=True)
            shutil.move(self.folder, place)
            raise StoreError(f"{error}; all files of it are in {place.absolute()}") from None

    def _order(self, path: Path) -> tuple[bool, Path]:
        return path.name == self._last, path


@contextmanager
def kept(place: Place, last: str = "") -> Iterator[None]:
    """What the block writes to here(place) is at `place` afterwards, also if the block raises. Raises StoreError, at
    once if the place cannot be reached."""
    if isinstance(place, Path):
        yield
        return
    with refusing_store_errors(place):
        below(place)
    with RemoteCopy(place, last).sent():
        yield


def _is_ours(path: str) -> bool:
    """Not a file that is being written, nor a lease."""
    name = path.rpartition("/")[2]
    return not name.startswith((".", "_lease."))


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
