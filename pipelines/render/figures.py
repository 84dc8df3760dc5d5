"""Figures that show the contents of a dataset; they are saved next to it."""

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipelines.noise import Image
from pipelines.places import Place, open_to_read, refusing_store_errors
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.store.atomic_file import put
from pipelines.store.schema import CLEAN, Cell, Manifest, Split
from pipelines.store.shown import NONE, Shown

__all__ = ["draw_figures", "noise_levels"]


def draw_figures(root: Place, settings: NoisyDatasets) -> list[Place]:
    """Draws the paper's Figure 4 (noises and levels), Figure 5 (images per class) and one sample per class, at the
    largest size, in root/geometry=…/_figures. Parquet readers skip folders whose names begin with an underscore. Raises
    StoreError if an object store cannot be read or written."""
    with refusing_store_errors(root):
        return _drawn(root, settings)


def _drawn(root: Place, settings: NoisyDatasets) -> list[Place]:
    size_px = max(settings.sizes_px)
    folders = {variant: Cell(settings.geometry.kind, size_px, variant).folder(root) for variant in settings.chosen}
    reference = CLEAN if CLEAN in folders else next(iter(folders))
    manifest = Manifest.read(folders[reference])
    if manifest is None:
        return []
    class_names = manifest.card.class_names
    figures = {
        f"noise_levels-{size_px}px.png": noise_levels(folders, next(iter(manifest.counts))),
        "images_per_class.png": _images_per_class(manifest, class_names),
        f"one_sample_per_class-{size_px}px.png": _one_sample_per_class(folders[reference], class_names),
    }
    target = folders[reference].parents[1] / "_figures"
    for name, figure in figures.items():
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=100, bbox_inches="tight")
        put(target / name, image.getvalue())
    return [target / name for name in figures]


def _images(folder: Place, split: str | None = None) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
    """Yields the labels and images (N, S, S, channels) of each row group."""
    manifest = Manifest.read(folder)
    assert manifest is not None, folder
    for part in manifest.parts:
        if split in (None, part.split):
            with open_to_read(folder / part.path) as raw:
                file = pq.ParquetFile(raw, page_checksum_verification=True)
                for group in range(file.num_row_groups):
                    rows = file.read_row_group(group, columns=["label", "image"])
                    pixels = np.stack([np.frombuffer(image.as_buffer(), np.uint8) for image in rows["image"]])
                    side = int((pixels.shape[1] // manifest.card.channels) ** 0.5)
                    yield rows["label"].to_pylist(), pixels.reshape(-1, side, side, manifest.card.channels)


def noise_levels(folders: Mapping[str, Place], split: Split) -> Figure:
    """A row per noise and a column per level, after clean, as the manifests in `folders` (by variant) record them.
    Shows the brightest image of the first row group."""
    variants = {_shown(folder): variant for variant, folder in folders.items()}
    noises = list(dict.fromkeys(shown.noise for shown in variants if shown != Shown())) or [NONE]
    levels = list(dict.fromkeys(shown.level for shown in variants if shown != Shown()))
    _, first = next(_images(next(iter(folders.values())), split))
    brightest = int(first.sum(axis=(1, 2, 3), dtype=np.uint64).argmax())
    figure = Figure(figsize=(1.6 * (1 + len(levels)), 1.7 * len(noises)))
    axes = figure.subplots(len(noises), 1 + len(levels), squeeze=False)
    for row, noise in enumerate(noises):
        for axis, shown in zip(axes[row], [Shown(), *(Shown(noise, level) for level in levels)], strict=True):
            axis.axis("off")
            if shown in variants:
                _, images = next(_images(folders[variants[shown]], split))
                _show(axis, images[brightest], variants[shown])
    return figure


def _shown(folder: Place) -> Shown:
    manifest = Manifest.read(folder)
    shown = None if manifest is None else Shown.read(manifest.fingerprint)
    assert shown is not None, folder
    return shown


def _images_per_class(manifest: Manifest, class_names: Sequence[str]) -> Figure:
    figure = Figure(figsize=(12, 4.5))
    axis = figure.subplots()
    labels = range(len(class_names))
    below = np.zeros(len(class_names))
    for split, counts in manifest.counts_per_class.items():
        heights = np.array([counts.get(label, 0) for label in labels])
        axis.bar(labels, heights, bottom=below, label=f"{split} ({heights.sum():,})")
        below += heights
    axis.set(ylabel="images", xlim=(-0.6, len(class_names) - 0.4))
    axis.set_xticks(labels, [f"{name} {label}" for label, name in enumerate(class_names)], rotation=90, fontsize=7)
    axis.legend(loc="upper right")  # "best" looks for a place, and warns if that takes long
    return figure


def _one_sample_per_class(folder: Place, class_names: Sequence[str]) -> Figure:
    samples: dict[int, Image] = {}
    for labels, images in _images(folder):
        for label, image in zip(labels, images, strict=True):
            if image.sum() > samples.get(label, image[:0]).sum():
                samples[label] = image
        if len(samples) == len(class_names):
            break
    columns = 9
    rows = -(-len(class_names) // columns)
    figure = Figure(figsize=(1.5 * columns, 1.9 * rows))
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for label, image in samples.items():
        _show(axes.flat[label], image, "\n".join(textwrap.wrap(f"{label} {class_names[label]}", 21)[:2]))
    return figure


def _show(axis: Axes, image: Image, title: str) -> None:
    axis.imshow(
        image, cmap="gray", vmin=0, vmax=255, interpolation="nearest"
    )  # the colour map applies to one channel only
    axis.set_title(title, fontsize=7, y=1.0)  # without y, each drawing measures all ticks to keep clear of them
