"""Projected gradient ascent with automatic step sizes (Croce and Hein 2020, algorithm 1)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from training.attacks.balls import Norm, per_image, project, steepest
from training.attacks.gradients import differentiate
from training.attacks.labelled_images import LabelledImages

__all__ = ["AimedLoss", "climb", "periods"]

AimedLoss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(logits (N, C), labels (N,), targets (N,)) → (N,), to be maximized."""

MOMENTUM = 0.75
RISES_NEEDED = 0.75
"""ρ: the minimal share of a period's steps that must raise the loss for the step size to remain unchanged."""


@dataclass
class _Ascent:
    """The images that are still being attacked; `rows` are their indices among all images."""

    rows: torch.Tensor
    examples: LabelledImages
    targets: torch.Tensor
    eps: torch.Tensor
    step: torch.Tensor
    points: torch.Tensor
    previous: torch.Tensor
    gradient: torch.Tensor
    loss: torch.Tensor
    best: torch.Tensor
    best_gradient: torch.Tensor
    best_loss: torch.Tensor
    checked_loss: torch.Tensor
    """The best loss at the last checkpoint."""
    halved: torch.Tensor
    """Whether the step size was halved at the last checkpoint."""
    rises: torch.Tensor
    """How many steps since the last checkpoint have raised the loss."""

    def at(self, keep: torch.Tensor) -> "_Ascent":
        if bool(keep.all()):
            return self
        kept: dict[str, Any] = {
            name: value.at(keep) if isinstance(value, LabelledImages) else value[keep]
            for name, value in vars(self).items()
        }
        return _Ascent(**kept)

    def move(self, norm: Norm, momentum: float) -> None:
        centres, radius = self.examples.images, self.eps
        ahead = self.points + per_image(self.step) * steepest(self.gradient, norm)
        ahead = project(ahead, centres, radius, norm)
        aside = momentum * (ahead - self.points) + (1 - momentum) * (self.points - self.previous)
        self.previous, self.points = self.points, project(self.points + aside, centres, radius, norm)

    def look(self, network: nn.Module, aimed_loss: AimedLoss) -> torch.Tensor:
        """Which images are fooled (N,); updates the loss, its gradient and the best point."""

        def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return aimed_loss(logits, labels, self.targets)

        here = differentiate(network, self.points, self.examples, loss)
        self.rises = self.rises + (here.loss > self.loss)
        self.loss, self.gradient = here.loss, here.gradient
        better = here.loss > self.best_loss
        self.best_loss = torch.where(better, here.loss, self.best_loss)
        self.best = torch.where(per_image(better), self.points, self.best)
        self.best_gradient = torch.where(per_image(better), here.gradient, self.best_gradient)
        return here.fooled

    def check(self, period: int) -> None:
        """Conditions 1 and 2 of section 3.2: if either holds, halves the step size and returns to the best point."""
        too_few_rises = self.rises < RISES_NEEDED * period
        no_progress = ~self.halved & (self.best_loss == self.checked_loss)
        self.halved = too_few_rises | no_progress
        self.step = torch.where(self.halved, self.step / 2, self.step)
        self.loss = torch.where(self.halved, self.best_loss, self.loss)
        self.points = torch.where(per_image(self.halved), self.best, self.points)
        self.gradient = torch.where(per_image(self.halved), self.best_gradient, self.gradient)
        self.checked_loss = self.best_loss
        self.rises = torch.zeros_like(self.rises)


def climb(
    network: nn.Module,
    examples: LabelledImages,
    eps: torch.Tensor,
    norm: Norm,
    steps: int,
    loss: AimedLoss,
    targets: torch.Tensor,
    first: torch.Tensor,
) -> torch.Tensor:
    """Starts at `first`, inside the balls of radius `eps` (N,); returns for each image the first point that fools, else
    the best."""
    result = first.clone()
    lowest = torch.full_like(eps, -math.inf)
    zeros = torch.zeros_like(eps)
    ascent = _Ascent(
        rows=torch.arange(len(examples), device=eps.device), examples=examples, targets=targets, eps=eps, step=2 * eps,
        points=first, previous=first, gradient=torch.zeros_like(first), loss=-lowest, best=first,
        best_gradient=torch.zeros_like(first), best_loss=lowest, checked_loss=lowest, halved=zeros.bool(),
        rises=zeros,
    )  # fmt: skip
    checkpoints = periods(steps)
    for number in range(steps + 1):
        if number:
            ascent.move(norm, MOMENTUM if number > 1 else 1.0)
        is_fooled = ascent.look(network, loss)
        result[ascent.rows[is_fooled]] = ascent.points[is_fooled]
        ascent = ascent.at(~is_fooled)
        if not len(ascent.rows):
            break
        if number in checkpoints:
            ascent.check(checkpoints[number])
    result[ascent.rows] = ascent.best
    return result


def periods(steps: int) -> dict[int, int]:
    """Checkpoint → steps since the last one: w_j = ⌈p_j · steps⌉ with p₁ = 0.22 and
    p_{j+1} = p_j + max(p_j − p_{j−1} − 0.03, 0.06) (section 3.2)."""
    found: dict[int, int] = {}
    before, here, last = 0, 22, 0
    while here <= 100:
        checkpoint = math.ceil(here * steps / 100)
        if checkpoint > last:
            found[checkpoint] = checkpoint - last
            last = checkpoint
        before, here = here, here + max(here - before - 3, 6)
    return found
