from typing import ClassVar

import torch
from pydantic import Field
from torch.nn.functional import kl_div, log_softmax

from training.augmentation.fresh_noise import FreshNoise
from training.objectives.contract import Losses, Objective, ObjectiveInputs

__all__ = ["Consistency", "jensen_shannon"]


class Consistency(Objective):
    """Learns each image clean and with fresh noise, and that both are predicted alike:
    (CE(clean) + CE(noisy)) / 2 + weight · JS(p_clean, p_noisy).

    The Jensen-Shannon term is that of D. Hendrycks et al., "AugMix" (2020, section 3), with one noisy image instead of
    two augmented ones; like S. Zheng et al., "Improving the robustness of deep neural networks via stability training"
    (2016), it pairs an image with its noisy self. Both halves share the statistics of batch norm: the auxiliary ones
    of C. Xie et al., "Adversarial examples improve image recognition" (2020), are for networks that are used on clean
    images only. A step computes twice as many images as with cross_entropy."""

    kind: ClassVar[str] = "consistency"
    parts: ClassVar[tuple[str, ...]] = ("noisy", "consistency")
    makes_noise: ClassVar[bool] = True
    weight: float = Field(default=2.0, ge=0, allow_inf_nan=False)
    noise: FreshNoise = FreshNoise(clean_share=0.0)

    def __call__(self, given: ObjectiveInputs) -> Losses:
        draws = torch.Generator(given.images.device).manual_seed(int(given.draws.integers(2**63)))
        noisy = self.noise(given.images, draws)
        clean_logits, noisy_logits = given.logits_of(torch.cat([given.images, noisy])).chunk(2)
        of_clean, of_noisy = given.loss(clean_logits, given.labels), given.loss(noisy_logits, given.labels)
        apart = jensen_shannon(clean_logits, noisy_logits)
        total = (of_clean + of_noisy) / 2 + self.weight * apart
        return Losses(total, clean_logits, {"noisy": of_noisy, "consistency": apart})


def jensen_shannon(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The mean Kullback-Leibler divergence of two predictions from their mean, in nats, 0 to log 2; from logits
    (N, classes) each, (N,)."""
    logs = [log_softmax(logits, dim=1) for logits in (one, other)]
    mean = torch.stack([log.exp() for log in logs]).mean(0).clamp_min(1e-7).log()
    return torch.stack([kl_div(mean, log, reduction="none", log_target=True).sum(1) for log in logs]).mean(0)
