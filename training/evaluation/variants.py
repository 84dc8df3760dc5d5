"""Which variants a dataset has, and what their names say."""

import posixpath
import re
from pathlib import Path

from fsspec.core import url_to_fs

from pipelines.errors import StreamError
from pipelines.schema import CLEAN, Cell
from training.data import Data

__all__ = ["NONE", "in_order", "noise_and_level", "variant_name", "variants_of"]

NONE = "none"
LEVELS = ("min", "avg", "max")


def variants_of(data: Data) -> list[str]:
    """The variants under data.root at its geometry and size, in_order. Raises StreamError where the file system cannot
    be opened; a folder that is not there has none."""
    try:
        filesystem, root = url_to_fs(data.root)
        folder = posixpath.join(root, Cell(data.geometry, data.size_px, CLEAN).folder(Path()).parent.as_posix())
        names = filesystem.ls(folder, detail=False) if filesystem.isdir(folder) else []
    except (ImportError, OSError, ValueError) as error:
        raise StreamError(f"{data.root}: cannot be opened: {error}") from error
    found = (posixpath.basename(name.rstrip("/")) for name in names)
    return in_order([name.removeprefix("variant=") for name in found if name.startswith("variant=")])


def in_order(variants: list[str]) -> list[str]:
    """Clean first, then by noise; within it min, avg, max, then other levels, numbers in them by their value."""
    return sorted(variants, key=_place)


def noise_and_level(variant: str) -> tuple[str, str]:
    """("gaussian", "max") of gaussian-max; ("none", "none") of clean."""
    noise, _, level = variant.partition("-")
    return (NONE, NONE) if variant == CLEAN else (noise, level or NONE)


def variant_name(noise: str, level: str) -> str:
    """The inverse of noise_and_level."""
    if noise == NONE:
        return CLEAN
    return noise if level == NONE else f"{noise}-{level}"


def _place(variant: str) -> tuple[bool, str, int, list[tuple[int, str]]]:
    noise, level = noise_and_level(variant)
    known = LEVELS.index(level) if level in LEVELS else len(LEVELS)
    natural = [(int(digits or 0), text) for digits, text in re.findall(r"(\d+)|(\D+)", level)]
    return variant != CLEAN, noise, known, natural
