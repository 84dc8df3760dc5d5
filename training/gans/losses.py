"""The losses of the two players for each image, as functions of the discriminator's raw value."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.nn.functional import softplus

__all__ = ["LOSSES", "AdversarialLoss", "LossName", "gradient_penalty"]

LossName = Literal["bce", "least_squares", "wasserstein"]
PerImage = Callable[[torch.Tensor], torch.Tensor]
"""Values (N,) → losses (N,)."""


class AdversarialLoss(NamedTuple):
    """The discriminator's losses are `real` for real and `fake` for generated images; the generator's is
    `generator`."""

    real: PerImage
    fake: PerImage
    generator: PerImage


LOSSES: dict[LossName, AdversarialLoss] = {
    # −log σ(v), −log(1 − σ(v)), and for the generator −log σ(v), which does not vanish for a confident discriminator
    # (I. Goodfellow et al., "Generative adversarial nets", 2014, section 3).
    "bce": AdversarialLoss(lambda value: softplus(-value), softplus, lambda value: softplus(-value)),
    # X. Mao et al., "Least squares generative adversarial networks", 2017, equation 9 (a = 0, b = c = 1).
    "least_squares": AdversarialLoss(
        lambda value: (value - 1).square() / 2, lambda value: value.square() / 2, lambda value: (value - 1).square() / 2
    ),
    # M. Arjovsky et al., "Wasserstein GAN", 2017.
    "wasserstein": AdversarialLoss(lambda value: -value, lambda value: value, lambda value: -value),
}


def gradient_penalty(
    critic: nn.Module, real: torch.Tensor, fake: torch.Tensor, labels: torch.Tensor, share: torch.Tensor
) -> torch.Tensor:
    """(‖∇ critic(x)‖₂ − 1)² of each image (N,), at x = share · real + (1 − share) · fake (I. Gulrajani et al.,
    "Improved training of Wasserstein GANs", 2017, algorithm 1). The norm is over all values of an image, channels and
    pixels together, and each image has its own `share` (N,). Always in float32."""
    with torch.autocast(real.device.type, enabled=False):
        between = torch.lerp(fake, real, share[:, None, None, None]).requires_grad_()
        values = critic(between, labels)
        (gradient,) = torch.autograd.grad(values.sum(), between, create_graph=True)
        norms: torch.Tensor = torch.linalg.vector_norm(gradient, dim=(1, 2, 3))
        return (norms - 1).square()
