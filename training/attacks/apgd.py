from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from training.attacks.ascent import climb
from training.attacks.balls import project, scatter_inside
from training.attacks.contract import FixedStrength
from training.attacks.deepfool import Deepfool
from training.attacks.gradients import logits_of
from training.attacks.labelled_images import AttackError, Draws, LabelledImages
from training.attacks.worst_case import WorstCase
from training.models.margins import log_odds


class Apgd(FixedStrength):
    """Gradient ascent with momentum that halves its step size when it makes no progress, and then returns to its best
    point (Croce and Hein 2020, algorithm 1).

    `loss="cross_entropy"`, or "targeted_dlr": the difference of logits ratio towards each of the `targets` next most
    probable classes in turn (section 4.2, equation 7). It starts at a random point of the ball, as in AutoAttack;
    `start="deepfool"` starts at Deepfool's perturbation, scaled down to the ball. Images that are fooled, or predicted
    wrongly from the start, are not attacked any further; the others get the point of largest margin."""

    kind: ClassVar[str] = "apgd"
    loss: Literal["cross_entropy", "targeted_dlr"] = "cross_entropy"
    steps: int = Field(default=100, ge=1)
    restarts: int = Field(default=1, ge=1)
    targets: int = Field(
        default=9, ge=1, description="number of target classes of targeted_dlr; at most all other classes"
    )
    start: Literal["random", "deepfool"] = "random"

    def perturb(self, network: nn.Module, examples: LabelledImages, eps: torch.Tensor) -> torch.Tensor:
        draws = Draws.of(examples, f"{self.kind} {self.loss} {self.start}")
        worst = WorstCase(network, examples, examples.images)
        targets = self._targets(network, examples)
        loss = _targeted_dlr if self.loss == "targeted_dlr" else _cross_entropy
        for _ in range(self.restarts):
            for target in targets.unbind(1):
                if len(rows := worst.rows):
                    some, radius = examples.at(rows), eps[rows]
                    first = self._first(network, some, radius, draws.at(rows))
                    found = climb(network, some, radius, self.norm, self.steps, loss, target[rows], first)
                    worst.take(rows, found)
        return worst.images

    def _targets(self, network: nn.Module, examples: LabelledImages) -> torch.Tensor:
        """(N, targets): target classes, the most probable first. Cross entropy has one column, which is not used."""
        if self.loss == "cross_entropy":
            return examples.labels[:, None]
        with torch.no_grad():
            logits = logits_of(network, examples.images, examples)
        classes = logits.shape[1]
        if classes < 4:
            raise AttackError(f"loss=targeted_dlr needs 4 classes, the network has {classes}: use loss=cross_entropy")
        others = logits.scatter(1, examples.labels[:, None], -torch.inf)
        return others.topk(min(self.targets, classes - 1)).indices

    def _first(self, network: nn.Module, examples: LabelledImages, eps: torch.Tensor, draws: Draws) -> torch.Tensor:
        if self.start == "random":
            return scatter_inside(examples.images, eps, self.norm, draws)
        nearest = Deepfool(norm=self.norm).perturb(network, examples)
        return project(nearest, examples.images, eps, self.norm)


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor, _targets: torch.Tensor) -> torch.Tensor:
    return log_odds(logits, labels)


def _targeted_dlr(logits: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(z_t − z_y) / (z_π1 − (z_π3 + z_π4) / 2), where π sorts the logits in descending order."""
    highest = logits.topk(4).values
    spread = highest[:, 0] - (highest[:, 2] + highest[:, 3]) / 2
    towards = logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None])
    return towards[:, 0] / (spread + 1e-12)
