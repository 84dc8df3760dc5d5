"""Labelled images under attack, and their random numbers."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from pipelines.errors import RoadsignError

__all__ = ["AttackError", "Draws", "LabelledImages", "generator"]

MAX_IDS_NAMED = 5


class AttackError(RoadsignError):
    """The images cannot be attacked, or the network's outputs cannot be used."""


@dataclass(frozen=True)
class LabelledImages:
    """`images` (N, 3, S, S), float32 in [0, 1]; `labels` (N,), int64. The random numbers of an image depend only on
    `seed`, the kind of the attack, its `image_id` and `moment`. `moment` is empty except inside a training, where it is
    (epoch, step), so that an image has another random start in every epoch."""

    images: torch.Tensor
    labels: torch.Tensor
    image_ids: Sequence[str]
    seed: int = 0
    moment: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def at(self, rows: torch.Tensor) -> "LabelledImages":
        """The images that a mask or indices (on any device) select."""
        places = _places(rows)
        image_ids = [self.image_ids[place] for place in places]
        return replace(self, images=self.images[rows], labels=self.labels[rows], image_ids=image_ids)

    def name(self, rows: torch.Tensor) -> str:
        """The first image_ids that a mask selects, for a message."""
        places = _places(rows)
        names = ", ".join(self.image_ids[place] for place in places[:MAX_IDS_NAMED])
        return names + (f" and {len(places) - MAX_IDS_NAMED} more" if len(places) > MAX_IDS_NAMED else "")

    def check(self) -> None:
        """Raises AttackError if shapes or types are wrong, or if an image is outside [0, 1]."""
        images, labels = self.images, self.labels
        if images.ndim != 4 or images.dtype != torch.float32:
            raise AttackError(f"images are {images.dtype} {tuple(images.shape)}, expected float32 (N, 3, S, S)")
        if labels.dtype != torch.int64 or not len(images) == len(labels) == len(self.image_ids):
            raise AttackError(
                f"{len(images)} images, {len(self.image_ids)} image_ids and {labels.dtype} labels "
                f"{tuple(labels.shape)}: expected as many of each, and int64 labels"
            )
        inside = (images.amin((1, 2, 3)) >= 0) & (images.amax((1, 2, 3)) <= 1)  # False for NaN
        if not inside.all():
            raise AttackError(f"images outside of [0, 1], or not finite: {self.name(~inside)}; divide uint8 by 255")


class Draws:
    """Random numbers for N images, each from its own generator: the same in any batch, on any partition or device."""

    def __init__(self, generators: Sequence[torch.Generator], device: torch.device) -> None:
        self._generators = generators
        self._device = device

    @classmethod
    def of(cls, examples: LabelledImages, kind: str) -> "Draws":
        generators = [generator(examples.seed, kind, image_id, examples.moment) for image_id in examples.image_ids]
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


def generator(seed: int, kind: str, image_id: str, moment: tuple[int, ...] = ()) -> torch.Generator:
    """The generator of one kind of attack on one image; always on the CPU, whatever the device of the image is."""
    key = "\0".join(map(str, (seed, kind, image_id, *moment)))
    digest = hashlib.sha256(key.encode()).digest()[:8]
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


def _places(rows: torch.Tensor) -> list[int]:
    places: list[int] = (rows.nonzero().flatten() if rows.dtype == torch.bool else rows).tolist()
    return places
