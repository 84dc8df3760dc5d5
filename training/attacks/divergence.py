"""Images whose predictions differ most from those of the images that they are near to, as TRADES has them."""

import torch
from torch import nn
from torch.nn.functional import kl_div, log_softmax

from training.attacks.balls import per_image, project, steepest
from training.attacks.gradients import differentiate, logits_of
from training.attacks.in_training import Mode, Step, crafting, examples_of
from training.attacks.labelled_images import Draws, LabelledImages

__all__ = ["divergent_images"]

START_SD = 0.001


def divergent_images(step: Step, eps: float, steps: int, step_fraction: float, mode: Mode) -> torch.Tensor:
    """Ascends KL(p(x) ‖ p(x')) from x + 0.001 · N(0, 1) by sign steps of `step_fraction` · `eps` in the L∞ ball of
    radius `eps` (H. Zhang et al. 2019, algorithm 1); of the step's images, (N, C, S, S) in [0, 1]. The network is left
    as it was. Raises AttackError."""
    examples = examples_of(step)
    with crafting(step, mode):
        return _climb(step.network, examples, eps, steps, step_fraction)


def _climb(network: nn.Module, examples: LabelledImages, eps: float, steps: int, step_fraction: float) -> torch.Tensor:
    images = examples.images
    radius = torch.full((len(images),), eps, device=images.device)
    with torch.no_grad():
        clean = log_softmax(logits_of(network, images, examples), dim=1)

    def divergence(logits: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return kl_div(log_softmax(logits, dim=1), clean, reduction="none", log_target=True).sum(1)

    noise = Draws.of(examples, "trades").normal(*images.shape[1:])
    points = project(images + START_SD * noise, images, radius, "linf")
    for _ in range(steps):
        gradient = differentiate(network, points, examples, divergence).gradient
        points = project(
            points + per_image(radius * step_fraction) * steepest(gradient, "linf"), images, radius, "linf"
        )
    return points
