from typing import ClassVar

from training.objectives.contract import Losses, Objective, ObjectiveInputs


class CrossEntropy(Objective):
    """Cross entropy of each image, with label smoothing if the recipe asks for it."""

    kind: ClassVar[str] = "cross_entropy"

    def __call__(self, given: ObjectiveInputs) -> Losses:
        logits = given.logits_of(given.images)
        return Losses(given.loss(logits, given.labels), logits)
