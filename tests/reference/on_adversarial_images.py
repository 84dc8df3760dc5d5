"""A robust objective as it could be in training/objectives; test_rooms.py checks its imports by the rules of that
room."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field, PlainSerializer, PlainValidator

from pipelines.settings import choose, describe
from training.attacks import ATTACKS, Attack, Eps
from training.attacks.in_training import adversarial_images
from training.attacks.pgd import Pgd
from training.objectives.contract import Losses, Objective, ObjectiveInputs


class OnAdversarialImages(Objective):
    """Half of the loss is on the images, half on adversarial ones; both go through the network in one batch."""

    kind: ClassVar[str] = "on_adversarial_images"
    parts: ClassVar[tuple[str, ...]] = ("adversarial",)
    attack: Annotated[Attack, PlainValidator(lambda given: choose(ATTACKS, given)), PlainSerializer(describe)] = Pgd(
        steps=2, step_fraction=0.5
    )
    eps: float = Field(default=8 / 255, gt=0)

    def __call__(self, given: ObjectiveInputs) -> Losses:
        attacked = adversarial_images(given, self.attack, Eps(self.eps))
        clean, adversarial = given.logits_of(torch.cat([given.images, attacked])).chunk(2)
        losses = [given.loss(logits, given.labels) for logits in (clean, adversarial)]
        return Losses((losses[0] + losses[1]) / 2, clean, {"adversarial": losses[1]})
