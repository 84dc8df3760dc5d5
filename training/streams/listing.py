"""What a dataset's folder has, before one of its variants is opened."""

import posixpath
import re
from pathlib import Path
from typing import NamedTuple

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from pipelines.datasets.card import DatasetCard
from pipelines.errors import StreamError
from pipelines.store.schema import CLEAN, Cell
from training.streams.manifests import read_manifest
from training.streams.missing import names_inside, refuse_missing, refuse_no_dataset
from training.streams.parquet_pieces import Opener
from training.streams.variant_names import find_cell, names_of

__all__ = ["Stored", "stored_images"]

SIZE_PX = 40
"""Proposed where there are no images of the geometry, and the model says no size."""


class Stored(NamedTuple):
    size_px: int
    card: DatasetCard


def stored_images(root: str, geometry: str, size_px: int | None) -> Stored:
    """The card of the images under `root` at this size; None: at the only size that there is. Raises StreamError, also
    if there are several sizes."""
    try:
        filesystem, path = url_to_fs(root)
        refuse_no_dataset(filesystem, root, path)
        sizes = _sizes(filesystem, posixpath.join(path, f"geometry={geometry}"))
        if size_px is None and len(sizes) != 1:
            if not sizes:
                refuse_missing(filesystem, root, path, Cell(geometry, SIZE_PX, CLEAN))
            raise StreamError(
                f"{root}: has several sizes of images, and the model does not say its own; set data.size_px to one of: "
                + ", ".join(map(str, sizes))
            )
        size_px = size_px or sizes[0]
        if size_px not in sizes:
            refuse_missing(filesystem, root, path, Cell(geometry, size_px, CLEAN))
        cell = _any_cell(filesystem, path, geometry, size_px)
        return Stored(
            size_px, read_manifest(Opener(filesystem), posixpath.join(path, cell.folder(Path()).as_posix())).card
        )
    except (ImportError, OSError, ValueError) as error:
        raise StreamError(f"{root}: cannot be opened: {error}") from error


def _sizes(filesystem: AbstractFileSystem, folder: str) -> list[int]:
    names = names_inside(filesystem, folder)
    return sorted(int(match[1]) for name in names if (match := re.fullmatch(r"size_px=(\d+)", name)))


def _any_cell(filesystem: AbstractFileSystem, root: str, geometry: str, size_px: int) -> Cell:
    """All variants have the same card; the clean one if it is there."""
    folder = posixpath.join(root, Cell(geometry, size_px, CLEAN).folder(Path()).parent.as_posix())
    names = names_inside(filesystem, folder)
    variants = sorted(
        (name.removeprefix("variant=") for name in names if name.startswith("variant=")), key=_clean_first
    )
    for variant in variants:
        for name in names_of(filesystem, root, Cell(geometry, size_px, variant)):
            return find_cell(filesystem, root, geometry, size_px, name)
    return Cell(geometry, size_px, CLEAN)


def _clean_first(variant: str) -> tuple[bool, str]:
    return variant != CLEAN, variant
