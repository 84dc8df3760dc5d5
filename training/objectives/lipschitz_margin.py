from typing import ClassVar

from pydantic import Field
from torch.nn.functional import one_hot

from training.objectives.contract import Losses, Objective, ObjectiveInputs

__all__ = ["LipschitzMargin"]


class LipschitzMargin(Objective):
    """t · CE((s − u e_y) / t, y) of the logits s and the label y, for networks with a Lipschitz constant: without the
    offset u nothing is gained by a margin, and without the temperature t a network whose logits cannot grow stays
    undecided (B. Prach, C. Lampert, "Almost-orthogonal layers for efficient general-purpose Lipschitz networks", 2022,
    equation 10, with their u = √2 and t = 1/4).

    A margin of √2 · L · r certifies the L2 radius r on the scale of [0, 1] of a network with the constant L."""

    kind: ClassVar[str] = "lipschitz_margin"
    offset: float = Field(default=2**0.5, ge=0, allow_inf_nan=False)
    temperature: float = Field(default=0.25, gt=0, allow_inf_nan=False)

    def __call__(self, given: ObjectiveInputs) -> Losses:
        logits = given.logits_of(given.images)
        handicapped = logits - self.offset * one_hot(given.labels, logits.shape[1])
        return Losses(self.temperature * given.loss(handicapped / self.temperature, given.labels), logits)
