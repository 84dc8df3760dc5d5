"""The command that makes a missing variant, with the settings of the dataset that it belongs to."""

import difflib
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem

from pipelines.commands import home, noise_menu
from pipelines.errors import StreamError
from pipelines.store.schema import ATTACKED, CLEAN, GENERATED, MANIFEST_NAME, SPLITS, Cell, Manifest
from training.streams.manifests import ATTACKING_JOB, GENERATING_JOB, JOB, read_manifest
from training.streams.parquet_pieces import Opener

__all__ = ["making"]

_DEFAULTS: dict[str, Any] = {
    "seed": 0, "validation_fraction": 0.2, "train_fraction": 1.0, "images_per_part": 4000, "images_per_row_group": 1000,
    "compression": "zstd",
}  # fmt: skip
"""Of conf/make_noisy_datasets.yaml; variants that differ in these cannot be mixed."""
_STRENGTH = re.compile(r"(snr|eps)([\d.]+)")


def making(filesystem: AbstractFileSystem, root: str, path: str, cell: Cell, variants: Sequence[str]) -> str:
    """Clean, noisy, adversarial or generated, as the variant's name says; a name that means nothing is compared with
    the `variants` that there are."""
    kind, _, strength = cell.variant.partition("-")
    if attack := _attack(kind):
        return f"make it: {ATTACKING_JOB} {attack}{_asked(strength)} data.root={root} {_images(cell)}"
    menu = "paper" if cell.variant == CLEAN else noise_menu(cell.variant)
    if menu is None:
        close = difflib.get_close_matches(cell.variant, variants, n=1)
        guess = f"did you mean {close[0]}? " if close else ""
        return (
            f"{guess}conf/noise/ has no {cell.variant}; generated images: {GENERATING_JOB} name={cell.variant} "
            f"data.root={root} data.geometry={cell.geometry}"
        )
    settings = [
        *_as_made(filesystem, root, path), f"geometry={cell.geometry}", f"'sizes_px=[{cell.size_px}]'",
        *([] if menu == "paper" else [f"noise={menu}"]), f"'variants=[{cell.variant}]'",
    ]  # fmt: skip
    return f"make it: {' '.join([JOB, *settings])}"


def _attack(kind: str) -> str:
    """The attack by which variants of this kind are named: fgsm, pgd_steps_10."""
    names = sorted((path.stem for path in (home() / "conf" / "attack").glob("*.yaml")), key=len, reverse=True)
    return next((f"attack={name}" for name in names if kind == name or kind.startswith(f"{name}_")), "")


def _asked(strength: str) -> str:
    found = _STRENGTH.fullmatch(strength)
    return f" '{'snr_db' if found[1] == 'snr' else 'eps'}=[{found[2]}]'" if found else ""


def _images(cell: Cell) -> str:
    return f"data.geometry={cell.geometry} data.size_px={cell.size_px}"


def _as_made(filesystem: AbstractFileSystem, root: str, path: str) -> list[str]:
    """The settings that the dataset was made with, where they are not the defaults."""
    manifest = _any_manifest(filesystem, path)
    made = [] if manifest is None else [*_source(manifest), *_own_settings(manifest)]
    if "://" not in root and (output := Path(root).absolute().parent) != Path("data/datasets").absolute():
        made.append(f"output_root={_from_here(str(output))}")
    return made


def _any_manifest(filesystem: AbstractFileSystem, path: str) -> Manifest | None:
    """That of one variant of the raw images, of the clean one if it is there."""
    manifests = filesystem.glob(posixpath.join(path, "geometry=*", "size_px=*", "variant=*", MANIFEST_NAME))
    for found in sorted(manifests, key=lambda name: (f"variant={CLEAN}/" not in name, name)):
        try:
            manifest = read_manifest(Opener(filesystem), posixpath.dirname(found))
        except StreamError:
            continue
        if not {ATTACKED, GENERATED} & manifest.fingerprint.keys():
            return manifest
    return None


def _source(manifest: Manifest) -> list[str]:
    kind, raw = manifest.source.get("kind"), manifest.source.get("root")
    if not raw or (kind == "gtsrb" and Path(raw) == Path("data/raw/GTSRB").absolute()):
        return []
    named = [f"dataset.kind={kind}", f"dataset.name={manifest.card.name}"] if kind == "image_folder" else []
    return [*named, f"dataset.root={_from_here(raw)}"]


def _own_settings(manifest: Manifest) -> list[str]:
    made = {key: manifest.fingerprint.get(key, default) for key, default in _DEFAULTS.items()}
    changed = [f"{key}={value}" for key, value in made.items() if value != _DEFAULTS[key]]
    splits = manifest.fingerprint.get("splits") or SPLITS
    return changed if tuple(splits) == tuple(SPLITS) else [*changed, f"'splits=[{','.join(splits)}]'"]


def _from_here(name: str) -> str:
    """A path relative to the working folder, if it is in it; a URL stays."""
    return name.removeprefix(f"{Path.cwd()}/")
