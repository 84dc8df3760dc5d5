import math
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, PlainSerializer, PlainValidator, model_validator
from scipy.special import ndtr, ndtri

from pipelines.settings import choose, describe
from training.attacks import ATTACKS, Attack, FixedStrength
from training.attacks.fgsm import Fgsm
from training.attacks.in_training import Mode, adversarial_images
from training.objectives.contract import Losses, Objective, ObjectiveInputs

__all__ = ["Adversarial", "truncated_magnitudes"]

TRUNCATED_AT_SD = 2


def _attack(given: object) -> Attack:
    attack = given if isinstance(given, Attack) else choose(ATTACKS, given)
    if not isinstance(attack, FixedStrength):
        raise ValueError(f"{attack.kind} has no strength; choose one of fgsm, pgd, apgd, …")
    return attack


class Adversarial(Objective):
    """Learns each image and an adversarial version of it, made against the network as it is in this step:
    (CE(clean) + weight · CE(adversarial)) / (1 + weight).

    The strength, a radius on the scale of [0, 1], is drawn for each image: |ε| of a normal distribution truncated at
    ± 2 sd. Its sd is `eps`, or, by default, the mean over all training images of the radius that has a signal-to-noise
    ratio of `snr_db`: mean ‖x‖₂ / (√D · 10^(SNR/20)) in L∞ with D values. `eps_law=fixed`: always the sd itself.

    Source: Parseval report, section 3.1, "a Gaussian random variable that is truncated between −2std and 2std", with
    the sd taken from the test set, "which can be considered incorrect". It follows A. Kurakin et al., "Adversarial
    machine learning at scale" (2017, section 3), who draw one strength for each image, and so do we; a negative
    strength would lower the loss, so its sign is dropped. The report's published program draws one for each pixel, also
    without its sign, and weights adversarial images 1 / 0.3 times as much as clean ones, where Kurakin et al. weight
    them 0.3 times as much; hence the setting.

    `crafted_in`: the mode of batch norm while images are attacked (attacks/in_training.py)."""

    kind: ClassVar[str] = "adversarial"
    parts: ClassVar[tuple[str, ...]] = ("adversarial",)
    attack: Annotated[FixedStrength, PlainValidator(_attack), PlainSerializer(describe)] = Fgsm()
    snr_db: float | None = Field(default=33.0, allow_inf_nan=False)
    eps: float | None = Field(default=None, gt=0, le=1)
    eps_law: Literal["truncated_normal", "fixed"] = "truncated_normal"
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    crafted_in: Mode = "evaluation"

    @model_validator(mode="after")
    def _one_strength(self) -> Self:
        if (self.snr_db is None) == (self.eps is None):
            raise ValueError("give either snr_db or eps, and set the other to null")
        return self

    @property
    def needs_mean_norm(self) -> bool:
        return self.snr_db is not None

    def __call__(self, given: ObjectiveInputs) -> Losses:
        radii = torch.as_tensor(self.radii(given), dtype=torch.float32, device=given.images.device)
        attacked = adversarial_images(given, self.attack, radii, self.crafted_in)
        clean, adversarial = given.logits_of(torch.cat([given.images, attacked])).chunk(2)
        of_clean, of_adversarial = given.loss(clean, given.labels), given.loss(adversarial, given.labels)
        total = (of_clean + self.weight * of_adversarial) / (1 + self.weight)
        return Losses(total, clean, {"adversarial": of_adversarial})

    def radii(self, given: ObjectiveInputs) -> np.ndarray:
        """(N,), float64; of the draws of this step."""
        sd, images = self._sd(given), given.images
        if self.eps_law == "fixed":
            return np.full(len(images), sd)
        return sd * truncated_magnitudes(given.draws.random(len(images)))

    def _sd(self, given: ObjectiveInputs) -> float:
        if self.snr_db is None:
            assert self.eps is not None
            return self.eps
        norm = given.mean_norm / 10 ** (self.snr_db / 20)
        return norm if self.attack.norm == "l2" else norm / math.sqrt(given.images[0].numel())


def truncated_magnitudes(uniform: np.ndarray) -> np.ndarray:
    """|z| of standard normal z truncated at ± 2, from uniform numbers in [0, 1)."""
    lowest, highest = ndtr(-TRUNCATED_AT_SD), ndtr(TRUNCATED_AT_SD)
    magnitudes: np.ndarray = np.abs(ndtri(lowest + uniform * (highest - lowest)))
    return magnitudes
