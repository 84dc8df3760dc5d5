from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from training.attacks.balls import Norm, norms, per_image
from training.attacks.contract import MinimalPerturbation
from training.attacks.gradients import fooled, logits_of
from training.attacks.labelled_images import AttackError, LabelledImages

SHORTEST_STEP = {"l2": 1e-4, "linf": 1e-6}
"""Added to the distance: exactly on a boundary it is zero, and the step would be zero too."""


class Deepfool(MinimalPerturbation):
    """Steps to the nearest boundary of the linearized classifier until the prediction changes (Moosavi-Dezfooli et al.
    2016, algorithm 2; for L∞ section 3.3, with the dual norm L1).

    For a linear classifier this is the orthogonal projection onto the nearest boundary, extended by `overshoot`. As in
    the authors' program, only the `classes` most probable classes of the clean image are considered, and each iterate
    is evaluated with its overshoot. The boundary is that of the label; pass predictions as labels to measure the
    paper's ρ̂_adv on images that are predicted wrongly too."""

    kind: ClassVar[str] = "deepfool"
    norm: Norm = "l2"
    steps: int = Field(default=50, ge=1)
    overshoot: float = Field(default=0.02, ge=0, allow_inf_nan=False)
    classes: int = Field(default=10, ge=2, description="considered classes; at most those that the network has")

    def perturb(self, network: nn.Module, examples: LabelledImages) -> torch.Tensor:
        result = examples.images.clone()
        with torch.no_grad():
            logits = logits_of(network, examples.images, examples)
        rows = (~fooled(logits, examples.labels)).nonzero().flatten()
        others = logits.scatter(1, examples.labels[:, None], -torch.inf)[rows]
        candidates = others.topk(min(self.classes, logits.shape[1]) - 1).indices
        examples = examples.at(rows)
        points, total = examples.images, torch.zeros_like(examples.images)
        for _ in range(self.steps):
            if not len(rows):
                break
            total = total + self._step(network, points, examples, candidates)
            total = (examples.images + total).clamp_(0, 1) - examples.images
            points = torch.add(examples.images, total, alpha=1 + self.overshoot).clamp_(0, 1)
            with torch.no_grad():
                done = fooled(logits_of(network, points, examples), examples.labels)
            result[rows[done]] = points[done]
            rows, points, total, candidates = rows[~done], points[~done], total[~done], candidates[~done]
            examples = examples.at(~done)
        return result

    def _step(
        self, network: nn.Module, points: torch.Tensor, examples: LabelledImages, candidates: torch.Tensor
    ) -> torch.Tensor:
        """The step to the nearest boundary between the label and the `candidates` (N, K); zero if no gradient leads to
        any."""
        with torch.enable_grad():
            inputs = points.detach().requires_grad_()
            logits = logits_of(network, inputs, examples)
            gaps = (logits.gather(1, candidates) - logits.gather(1, examples.labels[:, None])).unbind(1)
            sums = [gap.sum() for gap in gaps]
        nearest = torch.full_like(gaps[0], torch.inf)
        step = torch.zeros_like(points)
        for gap, total in zip(gaps, sums, strict=True):
            (gradient,) = torch.autograd.grad(total, inputs, retain_graph=True)
            normal, length = self._normal(gradient)
            distance = torch.where(length > 0, gap.detach().abs() / length, torch.inf)
            if distance.isnan().any():
                raise AttackError(f"the network's gradient is not finite for {examples.name(distance.isnan())}")
            closer = distance < nearest
            nearest = torch.where(closer, distance, nearest)
            step = torch.where(per_image(closer), normal, step)
        return step * per_image(nearest.clamp(SHORTEST_STEP[self.norm], torch.finfo(nearest.dtype).max))

    def _normal(self, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(direction of norm 1, the gradient's dual norm (N,)): the direction of a boundary, and the rate of
        approach."""
        if self.norm == "linf":
            return gradient.sign(), gradient.abs().sum((1, 2, 3))
        length = norms(gradient, "l2")
        return gradient / per_image(torch.where(length > 0, length, 1.0)), length
