"""The variants of a dataset, and their order."""

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from pipelines.errors import StreamError
from pipelines.noise import NOISES, Noise
from pipelines.settings import choose
from pipelines.store.schema import CLEAN, GENERATED, Cell, Split
from pipelines.store.shown import NONE, Shown
from training.streams.manifests import AGAIN, read_manifest
from training.streams.open_split import OpenVariant
from training.streams.parquet_pieces import Opener
from training.streams.stream import Data
from training.streams.variant_names import find_cell, names_of

__all__ = ["LEVELS", "generated_variants", "has_images", "in_order", "noise_of", "shown_of", "variants_of"]

LEVELS = ("min", "avg", "max")


def variants_of(data: Data, split: Split = "train") -> list[str]:
    """The variants under data.root at its geometry and size, in order: adversarial ones once for each network that was
    attacked, generated ones, which are for training, if they have images of `split`. Raises StreamError if the file
    system cannot be opened; a missing folder has none."""
    found = _found(data)
    there = [name for name, one in found.items() if GENERATED not in one.fingerprint or split in one.splits]
    shown = {name: Shown.read(found[name].fingerprint) or Shown(name) for name in there}
    return sorted(there, key=lambda name: (_place(shown[name]), _natural(name)))


def generated_variants(data: Data) -> list[str]:
    """Those of variants_of that a generator made, in order of their names. Raises StreamError."""
    return sorted((name for name, one in _found(data).items() if GENERATED in one.fingerprint), key=_natural)


class _Found(NamedTuple):
    """A variant's folder: its manifest's fingerprint, and of generated images the splits that have folders."""

    fingerprint: Mapping[str, Any]
    splits: Collection[str]


def _found(data: Data) -> dict[str, _Found]:
    """By name."""
    try:
        filesystem, root = url_to_fs(data.root)
        folder = posixpath.join(root, Cell(data.geometry, data.size_px, CLEAN).folder(Path()).parent.as_posix())
        variants = [name.removeprefix("variant=") for name in _names(filesystem, folder) if name.startswith("variant=")]
        cells = [Cell(data.geometry, data.size_px, variant) for variant in variants]
        found = {}
        for name in (name for cell in cells for name in names_of(filesystem, root, cell)):
            cell = find_cell(filesystem, root, data.geometry, data.size_px, name)
            own = posixpath.join(root, cell.folder(Path()).as_posix())
            fingerprint = _fingerprint(Opener(filesystem), own)
            names = _names(filesystem, own) if GENERATED in fingerprint else []
            found[name] = _Found(fingerprint, {one.removeprefix("split=") for one in names})
        return found
    except (ImportError, OSError, ValueError) as error:
        raise StreamError(f"{data.root}: cannot be opened: {error}") from error


def _names(filesystem: AbstractFileSystem, folder: str) -> list[str]:
    paths = filesystem.ls(folder, detail=False) if filesystem.isdir(folder) else []
    return [posixpath.basename(path.rstrip("/")) for path in paths]


def has_images(data: Data, variant: str, split: Split) -> bool:
    """Whether a variant has images of `split`, by its manifest. Raises StreamError."""
    try:
        filesystem, root = url_to_fs(data.root)
        cell = find_cell(filesystem, root, data.geometry, data.size_px, variant)
    except (ImportError, OSError, ValueError) as error:
        raise StreamError(f"{data.root}: cannot be opened: {error}") from error
    manifest = read_manifest(Opener(filesystem), posixpath.join(root, cell.folder(Path()).as_posix()))
    return bool(manifest.counts.get(split))


def in_order(shown: Iterable[Shown]) -> list[Shown]:
    """Each once: clean first, then by noise; within a noise min, avg, max, then other levels, with numbers in them
    sorted by value."""
    return sorted(set(shown), key=_place)


def shown_of(opened: OpenVariant) -> Shown:
    """How the variant is shown if no network but the evaluated one was attacked. Raises StreamError."""
    shown = Shown.read(opened.manifest.fingerprint)
    if shown is None:
        raise StreamError(f"{opened.folder}: its manifest does not say how it is shown; {AGAIN}")
    return shown


def noise_of(opened: OpenVariant) -> Noise | None:
    """What was added to the variant's images; None for clean, adversarial and generated ones. Raises StreamError."""
    recorded = opened.manifest.fingerprint.get("noise")
    try:
        return None if recorded is None else choose(NOISES, recorded)
    except ValueError as error:
        raise StreamError(f"{opened.folder}: its manifest has an unknown noise ({error}); {AGAIN}") from None


def _fingerprint(opener: Opener, folder: str) -> Mapping[str, Any]:
    """Empty if the manifest is unusable, which whoever opens the variant is told."""
    try:
        return read_manifest(opener, folder).fingerprint
    except StreamError:
        return {}


def _place(shown: Shown) -> tuple[bool, str, int, list[tuple[int, str]]]:
    known = LEVELS.index(shown.level) if shown.level in LEVELS else len(LEVELS)
    return shown.noise != NONE, shown.noise, known, _natural(shown.level)


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(digits or 0), rest) for digits, rest in re.findall(r"(\d+)|(\D+)", text)]
