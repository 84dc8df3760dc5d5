from typing import ClassVar

from training.objectives.contract import Given, Losses, Objective


class CrossEntropy(Objective):
    """The loss of each image and nothing else: cross entropy, with label smoothing where the recipe asks for it."""

    kind: ClassVar[str] = "cross_entropy"

    def __call__(self, given: Given) -> Losses:
        logits = given.logits_of(given.images)
        return Losses(given.loss(logits, given.labels), logits)
