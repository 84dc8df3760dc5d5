from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field
from torch.nn.functional import kl_div, log_softmax

from pipelines.settings import LocalPath
from training.objectives.contract import Losses, Objective, ObjectiveInputs

__all__ = ["Distillation"]


class Distillation(Objective):
    """Learns the predictions of `teachers`, trained classifiers (.pt), on the same augmented images:
    hard_weight · CE(labels) + (1 − hard_weight) · T² · KL(teachers ‖ student), where both distributions are softmax of
    logits / T with T = `temperature` (G. Hinton et al., "Distilling the knowledge in a neural network", 2015, section
    2). Several teachers give the mean of their distributions.

    A run is identified by the digests of its teachers' weights, wherever their files are."""

    kind: ClassVar[str] = "distillation"
    parts: ClassVar[tuple[str, ...]] = ("teachers",)
    teachers: tuple[LocalPath, ...] = Field(default=(), description="at least one")
    temperature: float = Field(default=4.0, gt=0, allow_inf_nan=False)
    hard_weight: float = Field(default=0.1, ge=0, le=1)

    @property
    def teacher_files(self) -> tuple[Path, ...]:
        return self.teachers

    def __call__(self, given: ObjectiveInputs) -> Losses:
        logits = given.logits_of(given.images)
        with torch.no_grad():
            softened = [(teacher(given.images) / self.temperature).softmax(1) for teacher in given.teachers]
        wanted = torch.stack(softened).mean(0)
        apart = kl_div(log_softmax(logits / self.temperature, dim=1), wanted, reduction="none").sum(1)
        apart = apart * self.temperature**2
        total = self.hard_weight * given.loss(logits, given.labels) + (1 - self.hard_weight) * apart
        return Losses(total, logits, {"teachers": apart})
