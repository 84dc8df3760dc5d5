"""Writes a file so that a reader, or a restart after a kill, finds either the old file or the new one."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipelines.places import Place

__all__ = ["atomic_file", "put"]


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to. At the end of the block its file is flushed to the disk and replaces `path`.

    After an exception in the block, or where the disk refuses (OSError), `path` is what it was, and the file beside it
    is removed. Creates the folder of `path` if it is missing."""
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def put(path: Place, contents: bytes) -> None:
    """The same for contents that are in memory; an object store replaces objects in one step."""
    if isinstance(path, Path):
        with atomic_file(path) as partial:
            partial.write_bytes(contents)
    else:
        path.write_bytes(contents)
