"""Labelled images under attack, and the random numbers of each of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipelines.errors import RoadsignError

__all__ = ["AttackError", "Draws", "LabelledImages", "generator"]

MOST_IDS_NAMED = 5


class AttackError(RoadsignError):
    """What was given cannot be attacked, or the network's answers cannot be used."""


@dataclass(frozen=True)
class LabelledImages:
    """`images` (N, 3, S, S), float32 in [0, 1]; `labels` (N,), int64. An image's random numbers follow from `seed`, the
    attack's kind and its `image_id`, and from nothing else."""

    images: torch.Tensor
    labels: torch.Tensor
    image_ids: Sequence[str]
    seed: int = 0

    def __len__(self) -> int:
        return len(self.images)

    def at(self, rows: torch.Tensor) -> "LabelledImages":
        """Those that a mask or indices (on any device) choose."""
        places = _places(rows)
        image_ids = [self.image_ids[place] for place in places]
        return LabelledImages(self.images[rows], self.labels[rows], image_ids, self.seed)

    def name(self, rows: torch.Tensor) -> str:
        """The first few image_ids of a mask, for a message."""
        places = _places(rows)
        names = ", ".join(self.image_ids[place] for place in places[:MOST_IDS_NAMED])
        return names + (f" and {len(places) - MOST_IDS_NAMED} more" if len(places) > MOST_IDS_NAMED else "")

    def check(self) -> None:
        """Raises AttackError where shapes or types are others, or an image is not inside [0, 1]."""
        images, labels = self.images, self.labels
        if images.ndim != 4 or images.dtype != torch.float32:
            raise AttackError(f"images are {images.dtype} {tuple(images.shape)}, expected float32 (N, 3, S, S)")
        if labels.dtype != torch.int64 or not len(images) == len(labels) == len(self.image_ids):
            raise AttackError(
                f"{len(images)} images, {len(self.image_ids)} image_ids and {labels.dtype} labels "
                f"{tuple(labels.shape)}: expected as many of each, and int64 labels"
            )
        inside = (images.amin((1, 2, 3)) >= 0) & (images.amax((1, 2, 3)) <= 1)  # False where one is NaN
        if not inside.all():
            raise AttackError(f"images outside of [0, 1], or not finite: {self.name(~inside)}; divide uint8 by 255")


class Draws:
    """Random numbers for N images, each from a generator of its own: the same on any batch, partition or device."""

    def __init__(self, generators: Sequence[torch.Generator], device: torch.device) -> None:
        self._generators = generators
        self._device = device

    @classmethod
    def of(cls, examples: LabelledImages, kind: str) -> "Draws":
        generators = [generator(examples.seed, kind, image_id) for image_id in examples.image_ids]
        return cls(generators, examples.images.device)

    def at(self, rows: torch.Tensor) -> "Draws":
        return Draws([self._generators[place] for place in _places(rows)], self._device)

    def uniform(self, *shape: int) -> torch.Tensor:
        """(N, *shape), float32 in [0, 1)."""
        return self._stack([torch.rand(shape, generator=generator) for generator in self._generators], shape)

    def normal(self, *shape: int) -> torch.Tensor:
        """(N, *shape), float32, of mean 0 and variance 1."""
        return self._stack([torch.randn(shape, generator=generator) for generator in self._generators], shape)

    def signs(self, *shape: int) -> torch.Tensor:
        """(N, *shape), −1 or 1."""
        return torch.where(self.uniform(*shape) < 0.5, -1.0, 1.0)

    def _stack(self, drawn: list[torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
        return (torch.stack(drawn) if drawn else torch.empty(0, *shape)).to(self._device)


def generator(seed: int, kind: str, image_id: str) -> torch.Generator:
    """The generator of one kind of attack on one image, on the CPU wherever the image is."""
    key = hashlib.sha256(f"{seed}\0{kind}\0{image_id}".encode()).digest()[:8]
    return torch.Generator().manual_seed(int.from_bytes(key, "little"))


def _places(rows: torch.Tensor) -> list[int]:
    places: list[int] = (rows.nonzero().flatten() if rows.dtype == torch.bool else rows).tolist()
    return places
