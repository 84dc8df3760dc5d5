from typing import ClassVar

import torch
from pydantic import Field
from torch.nn.functional import kl_div, log_softmax

from training.attacks.divergence import divergent_images
from training.attacks.in_training import Mode
from training.objectives.contract import Losses, Objective, ObjectiveInputs

__all__ = ["Trades"]


class Trades(Objective):
    """CE(clean) + beta · KL(p_clean ‖ p_adversarial): H. Zhang et al., "Theoretically principled trade-off between
    robustness and accuracy" (2019, equation 5).

    The adversarial image is the end of `steps` steps of `step_fraction` · eps along the sign of the gradient of this
    divergence, inside the L∞ ball of radius `eps` on the scale of [0, 1]. The start is the image and normal noise of sd
    0.001, as in algorithm 1, since the gradient is zero at the image itself."""

    kind: ClassVar[str] = "trades"
    parts: ClassVar[tuple[str, ...]] = ("divergence",)
    beta: float = Field(default=6.0, ge=0, allow_inf_nan=False)
    eps: float = Field(default=8 / 255, gt=0, le=1)
    steps: int = Field(default=10, ge=1)
    step_fraction: float = Field(default=0.25, gt=0, allow_inf_nan=False)
    crafted_in: Mode = "evaluation"

    def __call__(self, given: ObjectiveInputs) -> Losses:
        attacked = divergent_images(given, self.eps, self.steps, self.step_fraction, self.crafted_in)
        clean, adversarial = given.logits_of(torch.cat([given.images, attacked])).chunk(2)
        logs = log_softmax(adversarial, dim=1), log_softmax(clean, dim=1)
        apart = kl_div(*logs, reduction="none", log_target=True).sum(1)
        return Losses(given.loss(clean, given.labels) + self.beta * apart, clean, {"divergence": apart})
