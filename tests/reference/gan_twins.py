"""Simple reference implementations of GANs."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy


def slow_gradient_penalty(
    critic: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    real: torch.Tensor,
    fake: torch.Tensor,
    labels: torch.Tensor,
    share: torch.Tensor,
) -> torch.Tensor:
    """(N,), one image at a time, its gradient by central differences in float64."""
    penalties = []
    for number in range(len(real)):
        point = (share[number] * real[number] + (1 - share[number]) * fake[number]).double()
        total = 0.0
        for place in range(point.numel()):
            step = torch.zeros(point.numel(), dtype=torch.float64)
            step[place] = 1e-5
            step = step.view(point.shape)
            ends = critic(torch.stack([point + step, point - step]), labels[[number, number]])
            total += float((ends[0] - ends[1]) / 2e-5) ** 2
        penalties.append((total**0.5 - 1) ** 2)
    return torch.tensor(penalties, dtype=torch.float64)


def plain_steps(
    generator: nn.Module,
    discriminator: nn.Module,
    batches: Sequence[tuple[torch.Tensor, torch.Tensor]],
    lr: float,
    betas: tuple[float, float],
) -> list[tuple[float, float]]:
    """Goodfellow's loop on (images in [-1, 1], latents) with sigmoid and torch's own Adam; each step's losses."""
    of_generator = torch.optim.Adam(generator.parameters(), lr=lr, betas=betas)
    of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=lr, betas=betas)
    losses = []
    for real, latent in batches:
        none = torch.zeros(len(real), dtype=torch.int64)
        ones, zeros = torch.ones(len(real)), torch.zeros(len(latent))
        made = generator(latent, none)
        loss = binary_cross_entropy(torch.sigmoid(discriminator(real, none)), ones) + binary_cross_entropy(
            torch.sigmoid(discriminator(made.detach(), none[: len(made)])), zeros
        )
        of_discriminator.zero_grad()
        loss.backward()
        of_discriminator.step()
        own = binary_cross_entropy(torch.sigmoid(discriminator(made, none[: len(made)])), zeros + 1)
        of_generator.zero_grad()
        own.backward()
        of_generator.step()
        losses.append((loss.item(), own.item()))
    return losses
