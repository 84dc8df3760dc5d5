"""The variants of a dataset, and the meaning of their names."""

import posixpath
import re
from pathlib import Path

from fsspec.core import url_to_fs

from pipelines.errors import StreamError
from pipelines.store.schema import ATTACKED_DIGITS, CLEAN, Cell, Split
from training.streams.stream import Data
from training.streams.variant_names import names_of, without_network

__all__ = ["NONE", "in_order", "noise_and_level", "shown_name", "variant_name", "variants_of"]

NONE = "none"
GENERATED_BEGIN = "gan-"
LEVELS = ("min", "avg", "max")


def variants_of(data: Data, split: Split = "train") -> list[str]:
    """The variants under data.root at its geometry and size, in_order: adversarial ones once for each network that was
    attacked, generated ones, which are for training, if they have images of `split`. Raises StreamError if the file
    system cannot be opened; a missing folder has none."""
    try:
        filesystem, root = url_to_fs(data.root)
        folder = posixpath.join(root, Cell(data.geometry, data.size_px, CLEAN).folder(Path()).parent.as_posix())
        paths = filesystem.ls(folder, detail=False) if filesystem.isdir(folder) else []
        found = (posixpath.basename(path.rstrip("/")) for path in paths)
        variants = [name.removeprefix("variant=") for name in found if name.startswith("variant=")]
        cells = [Cell(data.geometry, data.size_px, variant) for variant in variants]
        names = [name for cell in cells for name in names_of(filesystem, root, cell)]
        splits = {
            cell.variant: posixpath.join(root, cell.folder(Path()).as_posix(), f"split={split}") for cell in cells
        }
        generated = [name for name in names if name.startswith(GENERATED_BEGIN) and name in splits]
        return in_order([name for name in names if name not in generated or filesystem.isdir(splits[name])])
    except (ImportError, OSError, ValueError) as error:
        raise StreamError(f"{data.root}: cannot be opened: {error}") from error


def in_order(variants: list[str]) -> list[str]:
    """Clean first, then by noise; within a noise min, avg, max, then other levels, with numbers in them sorted by
    value."""
    return sorted(variants, key=_place)


def noise_and_level(variant: str) -> tuple[str, str]:
    """("gaussian", "max") of gaussian-max, ("gan-adversarial", "snr33") of gan-adversarial-snr33; ("none", "none") of
    clean."""
    attacked = re.fullmatch(r"(.+)-((?:snr|eps).+)", variant)
    noise, level = attacked.groups() if attacked else variant.partition("-")[::2]
    return (NONE, NONE) if variant == CLEAN else (noise, level or NONE)


def variant_name(noise: str, level: str) -> str:
    """The inverse of noise_and_level."""
    if noise == NONE:
        return CLEAN
    return noise if level == NONE else f"{noise}-{level}"


def shown_name(variant: str, attacked: str | None, model: str) -> str:
    """The name of a variant in the results of a model, from the digests of the attacked network and of the model:
    fgsm-snr33 if the model itself was attacked, else fgsm_transfer_0f3a5c7e9b1d-snr33."""
    noise, level = noise_and_level(without_network(variant))
    if attacked is None or attacked == model:
        return variant_name(noise, level)
    return variant_name(f"{noise}_transfer_{attacked[:ATTACKED_DIGITS]}", level)


def _place(variant: str) -> tuple[bool, str, int, list[tuple[int, str]]]:
    noise, level = noise_and_level(variant)
    known = LEVELS.index(level) if level in LEVELS else len(LEVELS)
    natural = [(int(digits or 0), text) for digits, text in re.findall(r"(\d+)|(\D+)", level)]
    return variant != CLEAN, noise, known, natural
