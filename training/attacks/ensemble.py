from typing import ClassVar

import torch
from torch import nn

from training.attacks.apgd import Apgd
from training.attacks.contract import FixedStrength
from training.attacks.labelled_images import LabelledImages
from training.attacks.square import Square
from training.attacks.worst_case import WorstCase


class Ensemble(FixedStrength):
    """The worst of four attacks for each image, without parameters except the norm (after AutoAttack: Croce and Hein
    2020, section 6): Apgd on cross entropy, Apgd towards each of the nine next classes, Apgd started at Deepfool's
    result, Square.

    AutoAttack's third attack is FAB, which also moves from boundary to boundary of the linearized classifier; here it
    is replaced by Deepfool's perturbation, scaled down to the ball and continued from there. Images that are fooled, or
    predicted wrongly from the start, are not attacked any further, so accuracy on the result is robust accuracy under
    all four; the others get the image of largest margin. Needs 4 classes."""

    kind: ClassVar[str] = "ensemble"

    def members(self) -> tuple[FixedStrength, ...]:
        return (
            Apgd(norm=self.norm),
            Apgd(norm=self.norm, loss="targeted_dlr"),
            Apgd(norm=self.norm, start="deepfool"),
            Square(norm=self.norm),
        )

    def perturb(self, network: nn.Module, examples: LabelledImages, eps: torch.Tensor) -> torch.Tensor:
        worst = WorstCase(network, examples, examples.images)
        for attack in self.members():
            if len(rows := worst.rows):
                worst.take(rows, attack.perturb(network, examples.at(rows), eps[rows]))
        return worst.images
