"""Locks a folder for one writer, and replaces its contents in one step."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import StoreError

__all__ = ["lock_folder", "staging_folder", "swap", "write_durably"]


def staging_folder(folder: Path) -> Path:
    """A sibling of `folder`: on the same file system, but not matched by patterns for files under `folder`."""
    return folder.with_name(f".{folder.name}.staging")


@contextmanager
def lock_folder(folder: Path, shown: Path, key: str) -> Iterator[None]:
    """Creates `folder` if it is missing and locks it; the lock ends with the process, however it ends. Raises
    StoreError, which names the path `shown` and the setting `key` that determines it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StoreError(f"{shown}: cannot be created or opened ({error.strerror}); choose another {key}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{shown}: another run is writing here; wait, or choose another {key}") from None
        yield
    finally:
        os.close(descriptor)


def write_durably(path: Path, text: str) -> None:
    """Writes `text` and returns when it is on the disk."""
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def swap(new: Path, target: Path, old: Path) -> None:
    """Moves `new` to `target`, and an existing `target` to `old`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        old.parent.mkdir(parents=True, exist_ok=True)
        target.replace(old)
    new.replace(target)
