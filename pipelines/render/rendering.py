"""Renders images of any size to every size and variant. Pure NumPy; each noise is drawn once per image."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipelines.geometry import Geometry, Roi
from pipelines.noise import Image, Noise, generator
from pipelines.store.cell_rows import NoisyRows
from pipelines.store.schema import CLEAN, Cell
from pipelines.store.statistics import Pixels, difference_energy, energy

__all__ = ["Original", "Rendering"]


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
        clean = {size: pixels for (_, size), pixels in self._render({CLEAN: None}, originals).items()}
        signal = {size: energy(pixels) for size, pixels in clean.items()}
        if CLEAN in self.variants:
            for size, pixels in clean.items():
                yield NoisyRows(size, CLEAN, pixels, signal[size], np.zeros(len(originals), np.uint64))
        for levels in self._levels_by_kind():
            for (variant, size), pixels in self._render(levels, originals).items():
                yield NoisyRows(size, variant, pixels, signal[size], difference_energy(pixels, clean[size]))

    def _levels_by_kind(self) -> list[dict[str, Noise | None]]:
        kinds: defaultdict[str, dict[str, Noise | None]] = defaultdict(dict)
        for variant, noise in self.variants.items():
            if noise is not None:
                kinds[noise.kind][variant] = noise
        return list(kinds.values())

    def _render(
        self, levels: Mapping[str, Noise | None], originals: Sequence[Original]
    ) -> dict[tuple[str, int], Pixels]:
        """The pixels by (variant, size); `levels` are the variants of one kind."""
        out = {
            (variant, size): np.zeros((len(originals), size, size, self.channels), np.uint8)
            for variant in levels
            for size in self.sizes_px
        }
        for row, original in enumerate(originals):
            roi = self.geometry.found(original.roi, self.seed, original.image_id)
            for stage in self.geometry.stages(original.pixels, roi, self.sizes_px):
                for variant, noisy in self._noisy(levels, stage.image, original.image_id):
                    for size, window in stage.windows.items():
                        out[variant, size][row][window.target] = noisy[window.source]
        return {key: images.reshape(len(originals), -1) for key, images in out.items()}

    def _noisy(self, levels: Mapping[str, Noise | None], image: Image, image_id: str) -> Iterator[tuple[str, Image]]:
        """The image at each level of one noise, all with the same random draw."""
        draw = None
        for variant, noise in levels.items():
            if noise is None:
                yield variant, image
            else:
                draw = draw or (noise.draw(generator(self.seed, noise.kind, image_id), image.shape),)
                yield variant, noise.apply(image, draw[0])
