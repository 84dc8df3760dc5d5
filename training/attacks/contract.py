"""The contract of attacks: a frozen settings object that turns labelled images into adversarial ones, in pixel
space."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from pipelines.settings import Settings
from training.attacks.balls import Norm
from training.attacks.labelled_images import AttackError, LabelledImages
from training.attacks.snr import Attacked, Eps, Meter, Strength

__all__ = ["Attack", "FixedStrength", "MinimalPerturbation"]


class Attack(Settings):
    """Neither the network nor the examples are changed, and no global generator is used.

    The result for an image does not depend on the other images, except for the last bits of the network's arithmetic:
    PyTorch rounds differently for batches of different sizes. So equal bytes need equal batches."""

    kind: ClassVar[str]
    budget: ClassVar[str | None] = None
    """The setting that serves as the strength of an attack that is given none."""
    needs_gradients: ClassVar[bool] = True
    """False if the logits of the network suffice."""

    @property
    def variant(self) -> str:
        """The name of its variants, without a strength: the kind, and the settings that differ from the defaults."""
        return "_".join([self.kind, *self.changed()])

    @property
    def curve(self) -> str:
        """The name that its variants of all strengths share: one_pixel of one_pixel_pixels_3."""
        defaults = type(self)()
        return self.model_copy(update={name: getattr(defaults, name) for name in (self.budget,) if name}).variant

    def changed(self) -> list[str]:
        """The settings that differ from the defaults: steps_10."""
        given, defaults = (attack.model_dump(mode="json") for attack in (self, type(self)()))
        return [f"{name}_{value}" for name, value in given.items() if value != defaults[name]]


class FixedStrength(Attack):
    """Maximizes the loss inside a ball around each image; the result differs from the image by at most `eps`."""

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
        """Adversarial images, float32 in [0, 1]; `eps` (N,), float32: the radius for each image. With radius 0, the
        image itself."""

    def radius(self, meter: Meter, strength: Strength) -> torch.Tensor:
        """(N,), float32. For a signal-to-noise ratio, the radius at which the largest possible perturbation has this
        ratio: in L2 a point on the sphere, in L∞ a corner, ‖x‖₂ / (√D · 10^(SNR/20)) with D values. Points inside have
        a higher ratio."""
        if isinstance(strength, Eps):
            return torch.full_like(meter.signal_norm, strength.eps, dtype=torch.float32)
        noise_norm = strength.noise_norm(meter.signal_norm)
        return (noise_norm if self.norm == "l2" else noise_norm / math.sqrt(meter.images[0].numel())).float()


class MinimalPerturbation(Attack):
    """Seeks a small perturbation that changes the prediction. If it finds none, or if the prediction is already wrong,
    the image is not changed."""

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
