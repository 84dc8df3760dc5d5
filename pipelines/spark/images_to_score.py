"""The files of an unorganized folder: links, special files, names that are not UTF-8; or of one in an object store."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import SourceError
from pipelines.places import Place, Remote, below, refusing_store_errors

__all__ = ["IMAGE_SUFFIXES", "PARQUET", "ImageFolder", "ListedFile", "list_folder", "suffix"]

IMAGE_SUFFIXES = (".png", ".ppm", ".jpg", ".jpeg", ".bmp", ".webp")
PARQUET = ".parquet"
HIDDEN, OTHER, LOOP = "by a leading dot or underscore", "by their suffix", "that link back to a folder above them"


class ListedFile(NamedTuple):
    """`image_id` is its name relative to the folder. If there is a `reason` why it cannot be opened, it must not be
    opened: its `path` may be spelled differently."""

    path: str
    image_id: str
    reason: str | None = None


class ImageFolder(NamedTuple):
    """Files sorted by name; `left_out` counts all others."""

    files: list[ListedFile]
    left_out: str


class Entry(NamedTuple):
    """An entry of a folder that is not a folder to descend into: `left_out` is one of the reasons above, or `problem`
    says why it cannot be opened; a readable file has neither."""

    path: str
    left_out: str | None = None
    problem: str | None = None


def suffix(path: str) -> str:
    """The suffix in lower case."""
    return Path(path).suffix.lower()


def list_folder(images: Place) -> ImageFolder:
    """Image and Parquet files in `images` and below; if it is a file, the file itself. Raises SourceError and
    StoreError."""
    if not isinstance(images, Path):
        return _remote_folder(images)
    if not images.exists():
        raise SourceError(f"{images}: no such file or folder; images=<folder of images, or Parquet files>")
    root = str(images.absolute())
    within = root if images.is_dir() else os.path.dirname(root)  # noqa: PTH120 - keeps names that are not UTF-8
    return _sorted(within, list(_entries(root) if images.is_dir() else [_entry(root)]))


def _sorted(within: str, entries: Sequence[Entry]) -> ImageFolder:
    left_out = [(entry.left_out, _spelled(os.path.relpath(entry.path, within))) for entry in entries if entry.left_out]
    said = []
    for why in (OTHER, HIDDEN, LOOP):
        names = sorted(name for reason, name in left_out if reason == why)
        said += [f"{len(names):,} {why}, the first is {names[0]}"] if names else []
    files = [_listed(entry, within) for entry in entries if not entry.left_out]
    return ImageFolder(sorted(files, key=lambda file: file.image_id.split("/")), "; ".join(said))


def _listed(entry: Entry, within: str) -> ListedFile:
    name = os.path.relpath(entry.path, within)
    misnamed = "its name is not UTF-8; rename it" if _spelled(entry.path) != entry.path else None
    return ListedFile(_spelled(entry.path), _spelled(name), entry.problem or misnamed)


def _spelled(path: str) -> str:
    """The path, with \\xdf in place of bytes that are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _entries(root: str) -> Iterator[Entry]:
    """The entries in `root` and below. Links to folders are followed, except to a folder that contains them."""
    pending: list[tuple[str, tuple[Path, ...]]] = [(root, (Path(root).resolve(),))]
    while pending:
        folder, above = pending.pop()
        try:
            paths = [str(path) for path in Path(folder).iterdir()]
        except OSError as error:
            if folder == root:
                raise SourceError(f"{root}: cannot be listed ({error.strerror})") from None
            yield Entry(folder, problem=f"a folder that cannot be listed ({error.strerror})")
            continue
        for path in paths:
            if Path(path).name[0] in "._":
                yield Entry(path, left_out=HIDDEN)
            elif not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a folder above may not be entered
                yield _entry(path)
            elif any(one.is_relative_to(real := Path(path).resolve()) for one in above):
                yield Entry(path, left_out=LOOP)
            else:
                pending.append((path, (*above, real)))


def _remote_folder(images: Remote) -> ImageFolder:
    """Raises SourceError and StoreError."""
    with refusing_store_errors(images):
        found = below(images)
    if not found:
        raise SourceError(f"{images}: no such folder, or nothing in it; images=<folder of images, or Parquet files>")
    if set(found) == {""}:
        images, found = images.parent, {images.name: found[""]}
    entries = []
    for path in found:
        hidden = any(part.startswith((".", "_")) for part in path.split("/"))
        known = suffix(path) in (*IMAGE_SUFFIXES, PARQUET)
        entries.append(Entry(f"{images}/{path}", left_out=HIDDEN if hidden else None if known else OTHER))
    return _sorted(str(images), entries)


def _entry(path: str) -> Entry:
    known = suffix(path) in (*IMAGE_SUFFIXES, PARQUET)
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        if not known and suffix(path):
            return Entry(path, left_out=OTHER)
        lost = isinstance(error, FileNotFoundError)
        return Entry(path, problem="a broken link" if lost else f"cannot be opened ({error.strerror})")
    if not known:
        return Entry(path, left_out=OTHER)
    if not stat.S_ISREG(mode):
        return Entry(path, problem="not a regular file but a pipe, a socket or a device")
    return Entry(path)
