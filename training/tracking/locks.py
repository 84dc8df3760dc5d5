"""A folder for one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["FolderError", "lock_folder"]


class FolderError(Exception):
    """A folder cannot be held: `busy` where another process that is alive holds it, otherwise for the `reason`."""

    def __init__(self, folder: Path, reason: str, busy: bool = False) -> None:
        super().__init__(f"{folder}: {reason}")
        self.folder = folder
        self.reason = reason
        self.busy = busy


@contextmanager
def lock_folder(folder: Path, wait: bool = False) -> Iterator[None]:
    """Makes `folder` where it is missing and holds it; the lock goes with the process, however it ends. Raises
    FolderError; with `wait` it is never busy."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise FolderError(folder, f"cannot be made or opened ({error.strerror})") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise FolderError(folder, "is held by another process", busy=True) from None
        yield
    finally:
        os.close(descriptor)
