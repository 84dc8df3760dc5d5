import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from training.attacks.balls import norms, per_image
from training.attacks.contract import FixedStrength
from training.attacks.deepfool import Deepfool
from training.attacks.gradients import fooled, logits_of
from training.attacks.labelled_images import LabelledImages, generator
from training.attacks.snr import Attacked, Meter, Strength

NO_RADIUS = 1e-12
"""A perturbation divided by a smaller radius than this may overflow float32."""


class Universal(FixedStrength):
    """One perturbation for all images (Moosavi-Dezfooli et al. 2017, algorithm 1).

    `fit` goes through the images in a new order each epoch. For each image that is not yet fooled, it adds the
    additional perturbation that Deepfool finds, and projects the sum into the ball, until `fooling_rate` of the images
    are predicted wrongly. The paper goes image by image; `images_per_step` adds the mean over this many images.

    The perturbation is stored as a direction, a point of the unit ball, and is scaled to the radius of each image: one
    eps for all as in the paper, or one signal-to-noise ratio for all. Calling the attack fits it on the given images,
    again for each strength, so a result depends on the other images; use `fit` on training images and `apply` on others
    to measure how well it transfers."""

    kind: ClassVar[str] = "universal"
    fooling_rate: float = Field(default=0.8, gt=0, le=1)
    epochs: int = Field(default=10, ge=1)
    images_per_step: int = Field(default=1, ge=1)

    def fit(self, network: nn.Module, examples: LabelledImages, eps: torch.Tensor) -> torch.Tensor:
        """The direction (3, S, S), of norm 1 at most; `eps` (N,): the radius for each image."""
        some = eps > NO_RADIUS
        examples, eps = examples.at(some), eps[some]
        direction = torch.zeros_like(examples.images[0]) if len(examples) else torch.zeros(())
        shuffle = generator(examples.seed, self.kind, "order of the images", examples.moment)
        for _ in range(self.epochs):
            order = torch.randperm(len(examples), generator=shuffle).to(eps.device)
            for start in range(0, len(examples), self.images_per_step):
                rows = order[start : start + self.images_per_step]
                direction = self._improved(network, examples.at(rows), eps[rows], direction)
            if self._fools(network, examples, eps, direction) >= self.fooling_rate:
                break
        return direction

    def apply(self, examples: LabelledImages, direction: torch.Tensor, strengths: Sequence[Strength]) -> list[Attacked]:
        """One result for each strength, in their order."""
        meter = Meter(examples.images)
        attacked = []
        for strength in strengths:
            unclamped = examples.images + per_image(self.radius(meter, strength)) * direction
            attacked.append(meter.measure(unclamped.clamp(0, 1), unclamped, strength))
        return attacked

    def run(self, network: nn.Module, examples: LabelledImages, strengths: Sequence[Strength]) -> list[Attacked]:
        meter = Meter(examples.images)
        directions = [self.fit(network, examples, self.radius(meter, strength)) for strength in strengths]
        return [
            self.apply(examples, direction, [strength])[0]
            for direction, strength in zip(directions, strengths, strict=True)
        ]

    def perturb(self, network: nn.Module, examples: LabelledImages, eps: torch.Tensor) -> torch.Tensor:
        return _added(examples, eps, self.fit(network, examples, eps))

    def _improved(
        self, network: nn.Module, examples: LabelledImages, eps: torch.Tensor, direction: torch.Tensor
    ) -> torch.Tensor:
        shifted = dataclasses.replace(examples, images=_added(examples, eps, direction))
        further = Deepfool().perturb(network, shifted) - shifted.images
        needed = further.flatten(1).any(1).sum().clamp_min(1)
        direction = direction + (further / per_image(eps)).sum(0) / needed
        if self.norm == "linf":
            return direction.clamp(-1, 1)
        return direction / norms(direction[None], "l2").clamp_min(1)

    def _fools(self, network: nn.Module, examples: LabelledImages, eps: torch.Tensor, direction: torch.Tensor) -> float:
        with torch.no_grad():
            logits = logits_of(network, _added(examples, eps, direction), examples)
        return fooled(logits, examples.labels).float().mean().item()


def _added(examples: LabelledImages, eps: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    return (examples.images + per_image(eps) * direction).clamp_(0, 1)
