"""What every attack is: a frozen settings object that turns labelled images into adversarial ones, in pixel space."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from pipelines.settings import Settings
from training.attacks.balls import Norm
from training.attacks.labelled_images import AttackError, LabelledImages
from training.attacks.snr import Attacked, Eps, Meter, Strength

__all__ = ["Attack", "FixedStrength", "MinimalPerturbation"]


class Attack(Settings):
    """Neither the network nor the examples are changed, and nothing is drawn from a global generator.

    An image's result does not depend on the images beside it, except for the last bits of the network's own
    arithmetic: PyTorch rounds differently for batches of different sizes. So equal bytes need equal batches."""

    kind: ClassVar[str]

    @property
    def variant(self) -> str:
        """What its variants are called, without a strength: the kind, and the settings that are not the default."""
        return "_".join([self.kind, *self.changed()])

    def changed(self) -> list[str]:
        """The settings that are not the default: steps_10."""
        given, defaults = (attack.model_dump(mode="json") for attack in (self, type(self)()))
        return [f"{name}_{value}" for name, value in given.items() if value != defaults[name]]

    def opened(self, files: Path) -> "Attack":
        """Where it needs a file besides the network's, that is in the folder `files`."""
        return self


class FixedStrength(Attack):
    """Makes the loss large inside a ball around each image; the result differs from the image by at most `eps`."""

    norm: Norm = "linf"

    def __call__(self, network: nn.Module, examples: LabelledImages, strengths: Sequence[Strength]) -> list[Attacked]:
        """One result for each strength, in their order. `network`: (N, 3, S, S) in [0, 1] → logits (N, C), in
        evaluation mode. Raises AttackError."""
        check(network, examples)
        return self.run(network, examples, strengths)

    def run(self, network: nn.Module, examples: LabelledImages, strengths: Sequence[Strength]) -> list[Attacked]:
        meter = Meter(examples.images)
        attacked = []
        for strength in strengths:
            images = self.perturb(network, examples, self.radius(meter, strength))
            attacked.append(meter.measure(images, images, strength))
        return attacked

    @abstractmethod
    def perturb(self, network: nn.Module, examples: LabelledImages, eps: torch.Tensor) -> torch.Tensor:
        """Adversarial images, float32 in [0, 1]; `eps` (N,), float32: each image's own. At 0 the image itself."""

    def radius(self, meter: Meter, strength: Strength) -> torch.Tensor:
        """(N,), float32. At a signal-to-noise ratio it is the radius whose farthest perturbation has it: in L2 a point
        of the sphere, in L∞ a corner, ‖x‖₂ / (√D · 10^(SNR/20)) with D values. What stays inside has a higher ratio."""
        if isinstance(strength, Eps):
            return torch.full_like(meter.signal_norm, strength.eps, dtype=torch.float32)
        noise_norm = strength.noise_norm(meter.signal_norm)
        return (noise_norm if self.norm == "l2" else noise_norm / math.sqrt(meter.images[0].numel())).float()


class MinimalPerturbation(Attack):
    """Seeks a small perturbation that changes the prediction; where it finds none, or where the prediction is wrong
    already, the image stays as it is."""

    def __call__(self, network: nn.Module, examples: LabelledImages) -> Attacked:
        """`network`: (N, 3, S, S) in [0, 1] → logits (N, C), in evaluation mode. Raises AttackError."""
        check(network, examples)
        images = self.perturb(network, examples)
        return Meter(examples.images).measure(images, images, None)

    @abstractmethod
    def perturb(self, network: nn.Module, examples: LabelledImages) -> torch.Tensor:
        """Adversarial images, float32 in [0, 1]."""


def check(network: nn.Module, examples: LabelledImages) -> None:
    """Raises AttackError."""
    examples.check()
    if network.training:
        raise AttackError("the network is in training mode, where its predictions are random: call network.eval()")
