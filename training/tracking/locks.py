"""A lock on a folder, held by one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["FolderError", "lock_folder"]


class FolderError(Exception):
    """A folder cannot be locked: `busy` if another running process holds the lock, otherwise for the `reason`."""

    def __init__(self, folder: Path, reason: str, busy: bool = False) -> None:
        super().__init__(f"{folder}: {reason}")
        self.folder = folder
        self.reason = reason
        self.busy = busy


@contextmanager
def lock_folder(folder: Path, wait: bool = False) -> Iterator[None]:
    """Creates `folder` if it is missing and locks it; the lock ends with the process, however that ends. Raises
    FolderError; with `wait` it is never busy."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise FolderError(folder, f"cannot be created or opened ({error.strerror})") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise FolderError(folder, "is locked by another process", busy=True) from None
        yield
    finally:
        os.close(descriptor)
