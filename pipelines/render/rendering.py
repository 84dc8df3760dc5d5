"""Renders images of any size to every size and variant; each noise is drawn once per image."""

import importlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import NamedTuple

from pipelines.geometry import Geometry, Roi
from pipelines.noise import Draw, Image, Noise, generator
from pipelines.render import plain
from pipelines.render.placement import Placed, Placement
from pipelines.store.cell_rows import NoisyRows
from pipelines.store.schema import CLEAN, Cell
from pipelines.store.statistics import Energies

__all__ = ["Original", "Rendering"]

LOG = logging.getLogger(__name__)

MIN_IMAGES_COMPILED = 200
"""Loading the compiled functions takes longer than they save on fewer images."""


class Original(NamedTuple):
    """An input image."""

    image_id: str
    pixels: Image
    roi: Roi


class Rendering(NamedTuple):
    """Which geometry, sizes and noises to apply; `variants` maps a variant's name to its noise (None: clean)."""

    geometry: Geometry
    sizes_px: tuple[int, ...]
    variants: Mapping[str, Noise | None]
    seed: int
    channels: int = 3

    def only(self, cells: Iterable[Cell]) -> "Rendering":
        """Reduced to the sizes and variants that `cells` need."""
        needed = list(cells)
        sizes = tuple(size for size in self.sizes_px if any(cell.size_px == size for cell in needed))
        names = {cell.variant for cell in needed}
        return self._replace(
            sizes_px=sizes, variants={name: self.variants[name] for name in self.variants if name in names}
        )

    def cell_rows(self, originals: Sequence[Original]) -> Iterator[NoisyRows]:
        """The images in every size and variant, in the given order. Noise kinds are rendered one after the other, so
        that only the rows of one kind are in memory."""
        kernel = _kernel(len(originals))
        placements = [self._placements(original) for original in originals]
        clean = kernel.Block(len(originals), self.sizes_px, self.channels)
        for row, stages in enumerate(placements):
            for placement in stages:
                clean.place(row, placement.image, placement)
        originals_placed = list(clean.placed(clean))
        signal = {placed.size_px: placed.energy for placed in originals_placed}
        if CLEAN in self.variants:
            yield from _rows(CLEAN, originals_placed, signal)
        for levels in self._levels_by_kind():
            blocks = {variant: kernel.Block(len(originals), self.sizes_px, self.channels) for variant in levels}
            for row, original in enumerate(originals):
                for placement in placements[row]:
                    draw = self._draw(next(iter(levels.values())), original.image_id, placement.image)
                    for variant, noise in levels.items():
                        blocks[variant].place(row, kernel.noisy(noise, placement.image, draw), placement)
            for variant in levels:
                yield from _rows(variant, blocks[variant].placed(clean), signal)

    def _placements(self, original: Original) -> list[Placement]:
        roi = self.geometry.found(original.roi, self.seed, original.image_id)
        stages = self.geometry.stages(original.pixels, roi, self.sizes_px)
        return [Placement.of(stage, self.sizes_px) for stage in stages]

    def _draw(self, noise: Noise, image_id: str, image: Image) -> Draw:
        """The random draw that all levels of one noise have on an image."""
        return noise.draw(generator(self.seed, noise.kind, image_id), image.shape)

    def _levels_by_kind(self) -> list[dict[str, Noise]]:
        """The variants of each kind of noise."""
        kinds: defaultdict[str, dict[str, Noise]] = defaultdict(dict)
        for variant, noise in self.variants.items():
            if noise is not None:
                kinds[noise.kind][variant] = noise
        return list(kinds.values())


def _rows(variant: str, made: Iterable[Placed], signal: Mapping[int, Energies]) -> Iterator[NoisyRows]:
    for placed in made:
        yield NoisyRows(
            placed.size_px, variant, placed.pixels, signal[placed.size_px], placed.difference, placed.sums
        )  # fmt: skip


def _kernel(images: int) -> ModuleType:
    """pipelines.render.compiled for many images, where Numba works; otherwise pipelines.render.plain, which makes the
    same bytes."""
    return plain if images < MIN_IMAGES_COMPILED else _compiled_or_plain()


@cache
def _compiled_or_plain() -> ModuleType:
    try:
        return importlib.import_module("pipelines.render.compiled")
    except ImportError as error:  # also raised by a Numba that does not know this NumPy
        LOG.warning("warning: Numba cannot be used (%s); NumPy makes the same images, but more slowly", error)
        return plain
