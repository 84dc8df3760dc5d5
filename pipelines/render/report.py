"""Prints the console output before and after a run."""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from pipelines.commands import as_typed
from pipelines.datasets import SyntheticSigns
from pipelines.places import Place, refusing_store_errors
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import to_yaml
from pipelines.store.schema import Cell, Manifest, Split
from pipelines.store.writer import find_damage

__all__ = [
    "announce", "announce_replacements", "print_attacks", "print_choice", "print_datasets", "print_plan",
    "warn_of_small_disk",
]  # fmt: skip


def announce(console: Console, settings: NoisyDatasets) -> None:
    """Says which data the run uses, so that synthetic signs and photographs cannot be confused."""
    if isinstance(settings.dataset, SyntheticSigns):
        console.print(
            Panel(
                "SYNTHETIC road signs (drawings): suitable for trying the pipeline, not for evaluating a classifier.\n"
                f"For the real GTSRB: {as_typed('python jobs/download_dataset.py gtsrb')}, or "
                "dataset.root=<folder that contains it>.",
                title=f"dataset: {settings.dataset.kind}",
            ),
            soft_wrap=False,
        )
    else:
        console.print(f"dataset: {settings.dataset.kind}, {settings.dataset.root}")
    console.print(
        f"{len(settings.sizes_px)} sizes × {len(settings.chosen)} variants, geometry {settings.geometry.kind}, "
        f"seed {settings.seed} → {settings.dataset_folder}"
    )


def print_plan(console: Console, settings: NoisyDatasets) -> None:
    """For --dry-run: prints all settings, a summary of the source's listing, and the folders that would be made."""
    console.print(to_yaml(settings))
    if isinstance(settings.dataset, SyntheticSigns):
        console.print(f"{settings.dataset.root} would be drawn if it does not exist")
    else:
        listing = settings.dataset.listing()
        console.print(
            f"{listing.found}: {len(listing.images):,} images listed, {len(listing.rejected)} lines or files rejected"
        )
        for remark in listing.remarks:
            console.print(remark)
    for cell in settings.cells:
        console.print(f"{cell.folder(settings.dataset_folder)}")
    console.print("dry run: nothing was made")


def warn_of_small_disk(
    console: Console, root: Place, cells: Iterable[Cell], counts: Mapping[Split, int], channels: int
) -> None:
    """Warns if the uncompressed pixels would not fit on the disk, where the root is on one."""
    if not isinstance(root, Path):
        return
    need = sum(sum(counts.values()) * cell.image_bytes(channels) for cell in cells)
    free = shutil.disk_usage(root).free
    if need > free:
        console.print(
            f"up to {need / 1e9:,.1f} GB to write, but {free / 1e9:,.1f} GB free on the disk of {root}: "
            "if the space does not suffice, nothing is changed; make fewer sizes at a time, e.g. sizes_px=[28]"
        )


def announce_replacements(
    console: Console, root: Place, fingerprints: Mapping[Cell, Mapping[str, Any]], verify: bool = False
) -> None:
    """Says which existing datasets will be replaced, and why: the settings in which they differ, or their damage."""
    changes: Counter[str] = Counter()
    for cell, fingerprint in fingerprints.items():
        folder = cell.folder(root)
        manifest = Manifest.read(folder)
        if manifest is None:
            with refusing_store_errors(folder):
                found = "no readable manifest" if folder.is_dir() else None
        else:
            found = find_damage(folder, manifest, verify) if manifest.fingerprint == fingerprint else None
        if found:
            console.print(f"will be made again: {folder}: {found}", markup=False, highlight=False, soft_wrap=True)
        if manifest and manifest.fingerprint != fingerprint:
            keys = sorted(fingerprint.keys() | manifest.fingerprint.keys())
            changed = [key for key in keys if fingerprint.get(key) != manifest.fingerprint.get(key)]
            changes[
                ", ".join(f"{key} {manifest.fingerprint.get(key)} → {fingerprint.get(key)}" for key in changed)
            ] += 1
    for change, datasets in changes.items():
        console.print(f"{datasets} datasets will be replaced: {change}")


def print_datasets(console: Console, root: Place, cells: Sequence[Cell]) -> None:
    """Prints a table with one row per variant, from the manifests."""
    console.print(f"{root}/geometry={cells[0].geometry}")
    table = Table(box=SIMPLE_HEAD, padding=0)
    table.add_column("size\npx", justify="right", no_wrap=True)
    _add_names(table, "variant", (cell.variant for cell in cells))
    for heading in ("train", "validation", "test", "MB", "SNR\ndB", "PSNR\ndB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for cell in cells:
        manifest = Manifest.read(cell.folder(root))
        if manifest is None:
            continue
        statistics = manifest.statistics["test" if "test" in manifest.statistics else next(iter(manifest.statistics))]
        table.add_row(
            str(cell.size_px),
            cell.variant,
            *(f"{manifest.counts.get(split, 0):,}" for split in ("train", "validation", "test")),
            f"{sum(part.bytes for part in manifest.parts) / 1e6:,.0f}",
            *("" if value is None else f"{value:.1f}" for value in (statistics.snr_db, statistics.psnr_db)),
        )
    console.print(table)


def print_choice(console: Console, manifest: Manifest) -> None:
    """Says how many of the generated images convinced the classifier that chose them, if one did."""
    for split, chosen in (manifest.chosen or {}).items():
        images = manifest.counts[split]
        rest = images - chosen.confident
        console.print(
            f"{split}: the classifier is confident of {chosen.confident:,} of {images:,} images, after "
            f"{chosen.drawn / images:.2f} draws an image; the other {rest:,} are the best of their draws"
        )


def _add_names(table: Table, heading: str, names: Iterable[str]) -> None:
    """A column whose names are whole on a terminal of any width."""
    table.add_column(heading, no_wrap=True, min_width=max(map(len, names), default=0))


def print_attacks(console: Console, root: Place, cells: Sequence[Cell]) -> None:
    """Prints a table with one row per adversarial variant and split, from the manifests. Ratios are means over images;
    "kept" counts the images that the attack left unchanged."""
    console.print(f"{cells[0].folder(root).parents[1]}, attacked: {cells[0].attacked}")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    _add_names(table, "variant", (cell.variant for cell in cells))
    table.add_column("split", no_wrap=True)
    ratios = ("SNR dB\nasked", "before\nclamp", "\nstored", "as\nuint8")
    for heading in (*ratios, "accuracy\nbefore", "\nafter", "images\nkept"):
        table.add_column(heading, justify="right", no_wrap=True)
    for cell in cells:
        manifest = Manifest.read(cell.folder(root))
        if manifest is None or manifest.attack is None:
            continue
        for split, attack in manifest.attack.items():
            images, stored = manifest.counts[split], manifest.statistics[split].snr_db_mean
            means = (attack.snr_db_asked, attack.snr_db_before_clamp.mean, stored, attack.snr_db_uint8.mean)
            table.add_row(
                cell.variant, split,
                *("" if mean is None else f"{mean:.2f}" for mean in means),
                *(f"{right / images:.2%}" for right in (attack.right_before, attack.right_after)),
                f"{attack.black + attack.unchanged:,}",
            )  # fmt: skip
    console.print(table)
