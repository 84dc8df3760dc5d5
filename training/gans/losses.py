"""The losses of the two players for each image, as functions of the discriminator's raw value."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.nn.functional import softplus

from pipelines.errors import SettingsError

__all__ = ["LOSSES", "AdversarialLoss", "LossName", "gradient_penalty", "squared_gradients"]

LossName = Literal["bce", "least_squares", "wasserstein", "relativistic"]
PerImage = Callable[[torch.Tensor], torch.Tensor]
"""Values (N,) → losses (N,)."""


class AdversarialLoss(NamedTuple):
    """The discriminator's losses are `real` for real and `fake` for generated images; the generator's is
    `generator`. If `paired`, `real` and `generator` are functions of an image's value less that of an image of the
    other kind with the same label."""

    real: PerImage
    fake: PerImage
    generator: PerImage
    paired: bool = False


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
    # A. Jolicoeur-Martineau, "The relativistic discriminator", 2019, as in Y. Huang et al., "The GAN is dead; long live
    # the GAN!", 2024, equation 2, with f(t) = −log(1 + e^−t): both players' losses are −f of their own difference.
    "relativistic": AdversarialLoss(
        lambda value: softplus(-value), torch.zeros_like, lambda value: softplus(-value), paired=True
    ),
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


def squared_gradients(values: Sequence[torch.Tensor], images: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """‖∇ D(x)‖² of each image (N,), for each set of `images` (N, C, S, S) that the sets of `values` (N,) were computed
    from: R1 on real and R2 on generated images (L. Mescheder et al., 2018, equation 9, without γ / 2). Raises
    SettingsError if the discriminator has no gradient at its images."""
    summed = torch.stack([each.sum() for each in values]).sum()
    wanted = summed.requires_grad and all(each.requires_grad for each in images)
    found = torch.autograd.grad(summed, images, create_graph=True, allow_unused=True) if wanted else [None]
    gradients = [gradient for gradient in found if gradient is not None]
    if len(gradients) < len(images):
        raise SettingsError(
            "gan.r1, gan.r2: the discriminator's values have no gradient with respect to its images, so they cannot be "
            "penalized; set gan.r1=0 gan.r2=0, or use a discriminator that is differentiable in its images"
        )
    return [gradient.square().sum(dim=(1, 2, 3)) for gradient in gradients]
