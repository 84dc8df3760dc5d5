"""Reads folders of classes that contain images."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from pipelines.datasets.card import Split
from pipelines.datasets.files import unpack_hint
from pipelines.datasets.listing import Listing, Rejected
from pipelines.errors import SourceError
from pipelines.places import Place, below

__all__ = [
    "IMAGE_SUFFIXES",
    "class_folders",
    "class_names",
    "images_in",
    "is_image",
    "note_loose_files",
    "split_folders",
]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp")
OTHER_IMAGE_SUFFIXES = (".avif", ".gif", ".heic", ".jp2", ".svg", ".tif", ".tiff")
"""Image formats that are not decoded. Such files are rejected with a reason instead of being counted as other files."""
_SPLITS: dict[str, Split] = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
_MAX_NAMES = 5


def split_folders(root: Place) -> dict[Split | None, Place]:
    """The split folders of `root` by split, if they contain class folders; otherwise `root` itself, under None.

    Raises SourceError if the layout is ambiguous, or has split folders without train or without test."""
    folders = class_folders(root)
    named = {name: folder for name, folder in folders.items() if name in _SPLITS}
    if not any(class_folders(folder) for folder in named.values()):
        if len(named) > 1 and len(named) == len(folders):
            raise SourceError(f"{root}: {', '.join(named)} contain no class folders; expected root/train/<class>/image")
        return {None: root}
    if others := sorted(folders.keys() - named.keys()):
        raise SourceError(
            f"{root}: has {', '.join(others)} next to {', '.join(named)}; expected class folders, or only train, "
            "validation and test"
        )
    if not {"train", "test"} <= named.keys():
        raise SourceError(
            f"{root}: has {', '.join(named)}, expected train and test; rename the folder that should be the test set "
            "(without a validation folder, validation is split off train)"
        )
    if {"val", "validation"} <= named.keys():
        raise SourceError(f"{root}: has both val and validation; keep one of them")
    return {_SPLITS[name]: folder for name, folder in named.items()}


def class_folders(base: Place) -> dict[str, Place]:
    """The folders in `base` by name, sorted. Raises SourceError if `base` cannot be listed."""
    return {folder.name: folder for folder in _entries(base) if folder.is_dir() and _is_data(folder.name)}


def class_names(root: Place, by_split: Mapping[Split | None, Mapping[str, Place]]) -> tuple[str, ...]:
    """The class names of train, or of the only folder. Raises SourceError if another split has further classes, or if
    there are fewer than two."""
    names = tuple(by_split["train"] if "train" in by_split else by_split[None])
    for split, folders in by_split.items():
        if unknown := sorted(folders.keys() - set(names)):
            raise SourceError(f"{root}: {split} has class folders that train does not have: {', '.join(unknown)}")
    if len(names) < 2:
        raise SourceError(
            f"{root}: has {len(names)} class folders{''.join(f' ({name})' for name in names)}, but a classifier needs "
            "two or more: root/<class>/image, or root/train/<class>/image and root/test/<class>/image"
            f"{unpack_hint(root)}"
        )
    return names


def images_in(folder: Place, listing: Listing) -> Iterator[Place]:
    """The images of a class, in subfolders too. Other files are counted in `listing`; links to folders are not
    followed, since they may form a cycle. Raises SourceError if there is no image."""
    others: list[str] = []
    found = False
    for path in _files(folder, others) if isinstance(folder, Path) else _remote_files(folder, others):
        _refuse_undecodable(path)
        if is_image(path):
            found = True
            yield path
        elif path.suffix.lower() in OTHER_IMAGE_SUFFIXES:
            reason = f"the format {path.suffix} is not supported; convert it to PNG"
            listing.rejected.append(Rejected(str(path), reason))
        else:
            others.append(str(path))
    if not found:
        raise SourceError(
            f"{folder}: contains no image ({', '.join(IMAGE_SUFFIXES)}); add images or remove this class folder"
        )
    if others:
        listing.left_out.append(f"{folder}: ignored {_shown(others)}: not images by their names")


def _files(folder: Path, skipped: list[str]) -> Iterator[Path]:
    """The files of a folder and its subfolders; the names of folders that are left out are added to `skipped`."""
    for parent, folders, names in os.walk(folder):
        left_out = {name for name in folders if not _is_data(name) or Path(parent, name).is_symlink()}
        skipped += [f"{parent}/{name}/" for name in sorted(left_out)]
        folders[:] = sorted(set(folders) - left_out)
        yield from (Path(parent, name) for name in sorted(names))


def _remote_files(folder: Place, skipped: list[str]) -> Iterator[Place]:
    for name in sorted(below(folder)):
        hidden = next((part for part in PurePosixPath(name).parts[:-1] if not _is_data(part)), None)
        if hidden is None:
            yield folder / name
        else:
            skipped.append(str(folder / name))


def note_loose_files(base: Place, listing: Listing) -> None:
    """Counts in `listing` the files that are not in a class folder."""
    loose = [path.name for path in _entries(base) if not path.is_dir() or not _is_data(path.name)]
    if loose:
        listing.left_out.append(f"{base}: ignored {_shown(loose)}: not in a class folder")


def is_image(path: Place) -> bool:
    """Decides by name; names with a leading dot are not images (macOS stores metadata of photo.jpg in ._photo.jpg)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _entries(base: Place) -> list[Place]:
    try:
        entries: list[Place] = sorted(base.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        why = error.strerror or "there is no such folder"  # s3fs does not say
        raise SourceError(f"{base}: cannot be listed ({why}); set dataset.root to a folder") from None
    for entry in entries:
        _refuse_undecodable(entry)
    return entries


def _is_data(name: str) -> bool:
    """False for folders of version control, editors and macOS."""
    return not name.startswith((".", "__MACOSX"))


def _refuse_undecodable(path: Place) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise SourceError(f"{str(path).encode(errors='surrogateescape')!r}: its name is not UTF-8; rename it") from None


def _shown(names: list[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
    return f"{len(names):,} ({shown})"
