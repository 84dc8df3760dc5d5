"""Folders of classes with images in them, as they lie on disk."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipelines.datasets.card import Split
from pipelines.datasets.listing import Listing, Rejected
from pipelines.errors import SourceError

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
"""Images that we do not decode, so that each is rejected with a reason and not taken for a stray file."""
_SPLITS: dict[str, Split] = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
_MOST_NAMES = 5


def split_folders(root: Path) -> dict[Split | None, Path]:
    """By split, where `root` has split folders with class folders in them; otherwise `root` itself, under None.

    Raises SourceError where it may be meant either way, or has no train or no test."""
    folders = class_folders(root)
    named = {name: folder for name, folder in folders.items() if name in _SPLITS}
    if not any(class_folders(folder) for folder in named.values()):
        if len(named) > 1 and len(named) == len(folders):
            raise SourceError(
                f"{root}: {', '.join(named)} have no class folders in them; expected root/train/<class>/image"
            )
        return {None: root}
    if others := sorted(folders.keys() - named.keys()):
        raise SourceError(
            f"{root}: has {', '.join(others)} beside {', '.join(named)}; expected folders of classes, or only train, "
            "validation and test"
        )
    if not {"train", "test"} <= named.keys():
        raise SourceError(
            f"{root}: has {', '.join(named)}, expected train and test; rename the folder that is to be the test set "
            "(validation is split off train where it has no folder)"
        )
    if {"val", "validation"} <= named.keys():
        raise SourceError(f"{root}: has both val and validation; keep one of them")
    return {_SPLITS[name]: folder for name, folder in named.items()}


def class_folders(base: Path) -> dict[str, Path]:
    """The folders in `base` by name, sorted. Raises SourceError where it cannot be listed."""
    return {folder.name: folder for folder in _entries(base) if folder.is_dir() and _is_of_the_data(folder.name)}


def class_names(root: Path, by_split: Mapping[Split | None, Mapping[str, Path]]) -> tuple[str, ...]:
    """Of train or the only folder. Raises SourceError where another split has more, and for fewer than two."""
    names = tuple(by_split["train"] if "train" in by_split else by_split[None])
    for split, folders in by_split.items():
        if unknown := sorted(folders.keys() - set(names)):
            raise SourceError(f"{root}: {split} has class folders that train has not: {', '.join(unknown)}")
    if len(names) < 2:
        raise SourceError(
            f"{root}: has {len(names)} class folders{''.join(f' ({name})' for name in names)}, and a classifier needs "
            "two or more: root/<class>/image, or root/train/<class>/image and root/test/<class>/image"
        )
    return names


def images_in(folder: Path, listing: Listing) -> Iterator[Path]:
    """The images of a class at any depth. Other files are counted in `listing`; links to folders are not followed, for
    they may lead in circles. Raises SourceError where there is no image."""
    others: list[str] = []
    found = False
    for parent, folders, names in os.walk(folder):
        skipped = {name for name in folders if not _is_of_the_data(name) or Path(parent, name).is_symlink()}
        others += [f"{parent}/{name}/" for name in sorted(skipped)]
        folders[:] = sorted(set(folders) - skipped)
        for path in (Path(parent, name) for name in sorted(names)):
            _refuse_undecodable(path)
            if is_image(path):
                found = True
                yield path
            elif path.suffix.lower() in OTHER_IMAGE_SUFFIXES:
                reason = f"the format {path.suffix} is not read; convert it to PNG"
                listing.rejected.append(Rejected(str(path), reason))
            else:
                others.append(str(path))
    if not found:
        raise SourceError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)}); fill or remove this class folder")
    if others:
        listing.left_out.append(f"{folder}: left out {_shown(others)}, no images by their names")


def note_loose_files(base: Path, listing: Listing) -> None:
    """Counts in `listing` what lies in no class folder."""
    loose = [path.name for path in _entries(base) if not path.is_dir() or not _is_of_the_data(path.name)]
    if loose:
        listing.left_out.append(f"{base}: left out {_shown(loose)}, in no class folder")


def is_image(path: Path) -> bool:
    """By its name; macOS keeps notes on photo.jpg in ._photo.jpg."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _entries(base: Path) -> list[Path]:
    try:
        entries = sorted(base.iterdir())
    except OSError as error:
        raise SourceError(f"{base}: cannot be listed ({error.strerror}); set dataset.root to a folder") from None
    for entry in entries:
        _refuse_undecodable(entry)
    return entries


def _is_of_the_data(name: str) -> bool:
    """Not a folder of version control, an editor or macOS."""
    return not name.startswith((".", "__MACOSX"))


def _refuse_undecodable(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise SourceError(f"{os.fsencode(path)!r}: its name is not UTF-8; rename it") from None


def _shown(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
    return f"{len(names):,} ({shown})"
