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
    batches: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
    lr: float,
    betas: tuple[float, float],
) -> list[tuple[float, float]]:
    """Goodfellow's loop on (images in [-1, 1], labels, latents), with sigmoid and torch's own Adam; losses by step."""
    of_generator = torch.optim.Adam(generator.parameters(), lr=lr, betas=betas)
    of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=lr, betas=betas)
    losses = []
    for real, labels, latent in batches:
        ones, zeros = torch.ones(len(real)), torch.zeros(len(latent))
        made = generator(latent, labels)
        loss = binary_cross_entropy(torch.sigmoid(discriminator(real, labels)), ones) + binary_cross_entropy(
            torch.sigmoid(discriminator(made.detach(), labels)), zeros
        )
        of_discriminator.zero_grad()
        loss.backward()
        of_discriminator.step()
        own = binary_cross_entropy(torch.sigmoid(discriminator(made, labels)), zeros + 1)
        of_generator.zero_grad()
        own.backward()
        of_generator.step()
        losses.append((loss.item(), own.item()))
    return losses


def slow_augmented(
    images: torch.Tensor, draws: torch.Tensor, color: bool, translation: float, cutout: float
) -> torch.Tensor:
    """DiffAugment as its paper's code has it, one pixel at a time."""
    made = []
    for image, drawn in zip(images, draws.tolist(), strict=True):
        changed = image.clone()
        channels, size_px, _ = changed.shape
        if color:
            changed = changed + (drawn[0] - 0.5)
            mean_of_channels = changed.mean(0)
            for channel in range(channels):
                changed[channel] = (changed[channel] - mean_of_channels) * drawn[1] * 2 + mean_of_channels
            changed = (changed - changed.mean()) * (drawn[2] + 0.5) + changed.mean()
        if translation:
            reach = int(size_px * translation + 0.5)
            down, right = (int(draw * (2 * reach + 1)) - reach for draw in drawn[3:5])
            moved = torch.zeros_like(changed)
            for row in range(size_px):
                for column in range(size_px):
                    if 0 <= row - down < size_px and 0 <= column - right < size_px:
                        moved[:, row, column] = changed[:, row - down, column - right]
            changed = moved
        if cutout:
            side = int(size_px * cutout + 0.5)
            centre = [int(draw * (size_px + 1 - side % 2)) for draw in drawn[5:7]]
            for row in range(side):
                for column in range(side):
                    place = centre[0] + row - side // 2, centre[1] + column - side // 2
                    if min(place) >= 0 and max(place) < size_px:
                        changed[:, place[0], place[1]] = 0
        made.append(changed)
    return torch.stack(made)


def plain_r3gan_steps(
    generator: nn.Module,
    discriminator: nn.Module,
    batches: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
    lr: float,
    betas: tuple[float, float],
    gammas: tuple[float, float],
    every: int,
) -> None:
    """R3GAN's loop on (images in [-1, 1], labels, latents): one loss for each pair, one gradient for each image."""
    of_generator = torch.optim.Adam(generator.parameters(), lr=lr, betas=betas)
    of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=lr, betas=betas)
    for step, (real, labels, latent) in enumerate(batches):
        made = generator(latent, labels).detach()
        losses = []
        for number in range(len(real)):
            label = labels[number : number + 1]
            pair = [images[number : number + 1].clone().requires_grad_() for images in (real, made)]
            values = [discriminator(image, label)[0] for image in pair]
            loss = torch.log(1 + torch.exp(values[1] - values[0]))
            if step % every == 0:
                for value, image, gamma in zip(values, pair, gammas, strict=True):
                    (gradient,) = torch.autograd.grad(value, image, create_graph=True)
                    loss = loss + every * gamma / 2 * (gradient**2).sum()
            losses.append(loss)
        of_discriminator.zero_grad()
        torch.stack(losses).mean().backward()
        of_discriminator.step()
        difference = discriminator(generator(latent, labels), labels) - discriminator(real, labels)
        of_generator.zero_grad()
        torch.log(1 + torch.exp(-difference)).mean().backward()
        of_generator.step()
