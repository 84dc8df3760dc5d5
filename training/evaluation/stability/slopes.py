"""How steep the margin of a classifier is at and around images."""

from typing import NamedTuple

import torch
from torch import nn

from training.attacks.balls import norms, project, scatter_inside, steepest
from training.attacks.gradients import Point, differentiate
from training.attacks.labelled_images import Draws, LabelledImages
from training.evaluation.stability.settings import Ball
from training.models.margins import margin

__all__ = ["Slopes", "measure_slopes"]


class Slopes(NamedTuple):
    """Columns (N,), float64: the margin m(x), the logit of the label minus the largest other one; `slope` ‖∇m(x)‖₂ per
    unit of [0, 1]; `slope_in_ball`, the largest one that was found in the ball, a lower bound of the Lipschitz constant
    of m there."""

    margin: torch.Tensor
    slope: torch.Tensor
    slope_in_ball: torch.Tensor

    @property
    def first_order(self) -> torch.Tensor:
        """m / ‖∇m‖, the distance to the boundary if the margin were linear; infinite without slope."""
        return self.margin / self.slope


def measure_slopes(network: nn.Module, examples: LabelledImages, ball: Ball) -> Slopes:
    """The points of the ball, clipped to [0, 1], are drawn by examples.seed and image_id. If the margin has the
    Lipschitz constant L in a ball of radius R, no image within min(m / L, R) is predicted otherwise (T.-W. Weng et al.,
    "Evaluating the robustness of neural networks: an extreme value theory approach", 2018, theorem 3.2); a lower bound
    of L does not prove that. Raises AttackError."""
    here = differentiate(network, examples.images, examples, margin)
    radius = torch.full_like(here.loss, ball.radius_l2)
    slope = _length(here)
    largest = slope
    for number in range(ball.points):
        drawn = Draws.of(examples, f"stability/{number}")
        points = scatter_inside(examples.images, radius, "l2", drawn)
        largest = torch.maximum(largest, _length(differentiate(network, points, examples, margin)))
    point, images = here, examples.images
    for _ in range(ball.steps):
        towards = steepest(point.gradient, "l2") * (2 * ball.radius_l2 / ball.steps)
        images = project(images + towards, examples.images, radius, "l2")
        point = differentiate(network, images, examples, margin)
        largest = torch.maximum(largest, _length(point))
    return Slopes(-here.loss.double().cpu(), slope, largest)


def _length(point: Point) -> torch.Tensor:
    return norms(point.gradient, "l2").double().cpu()
