from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from training.attacks.balls import per_image, project, scatter_inside, steepest
from training.attacks.contract import FixedStrength
from training.attacks.gradients import differentiate
from training.attacks.labelled_images import Draws, LabelledImages
from training.attacks.worst_case import WorstCase
from training.models.margins import log_odds


class Pgd(FixedStrength):
    """Projected gradient ascent on cross entropy (Madry et al. 2018, section 2.1): steps of `step_fraction` · eps along
    the sign of the gradient, or in L2 along the gradient, each followed by a projection into the ball and [0, 1].

    The result is the last iterate; of several restarts, the one with the largest margin. A fooled image is not attacked
    again."""

    kind: ClassVar[str] = "pgd"
    steps: int = Field(default=40, ge=1)
    step_fraction: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    random_start: bool = Field(default=True, description="start at a random point of the ball instead of at the image")
    restarts: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _restarts_differ(self) -> Self:
        if self.restarts > 1 and not self.random_start:
            raise ValueError("restarts without random_start all give the same result")
        return self

    def perturb(self, network: nn.Module, examples: LabelledImages, eps: torch.Tensor) -> torch.Tensor:
        draws = Draws.of(examples, self.kind)
        images = self._climb(network, examples, eps, draws)
        if self.restarts == 1:
            return images
        worst = WorstCase(network, examples, images)
        for _ in range(self.restarts - 1):
            rows = worst.rows
            if len(rows):
                worst.take(rows, self._climb(network, examples.at(rows), eps[rows], draws.at(rows)))
        return worst.images

    def _climb(self, network: nn.Module, examples: LabelledImages, eps: torch.Tensor, draws: Draws) -> torch.Tensor:
        images = examples.images
        points = scatter_inside(images, eps, self.norm, draws) if self.random_start else images
        for _ in range(self.steps):
            gradient = differentiate(network, points, examples, log_odds).gradient
            step = per_image(eps * self.step_fraction) * steepest(gradient, self.norm)
            points = project(points + step, images, eps, self.norm)
        return points
