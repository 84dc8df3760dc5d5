"""Attacks that compute one direction per image and then move along it by the requested distance."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

from training.attacks.balls import per_image
from training.attacks.contract import FixedStrength
from training.attacks.labelled_images import LabelledImages
from training.attacks.snr import Attacked, Eps, Meter, Strength

__all__ = ["OneDirection"]


class OneDirection(FixedStrength):
    """x + ε d, clipped to [0, 1]: all strengths share the direction d of an image and the passes that find it.

    For a signal-to-noise ratio, ε = ‖x‖₂ / (‖d‖₂ · 10^(SNR/20)) for each image (Parseval report, equation 2). An image
    without a direction is not changed and has an infinite ratio; a black image has no ratio, is not changed, and gets
    NaN."""

    @abstractmethod
    def direction(self, network: nn.Module, examples: LabelledImages) -> tuple[torch.Tensor, Meter]:
        """The direction (N, 3, S, S), of norm 1 in the attack's norm or zero, and the meter for it."""

    def run(self, network: nn.Module, examples: LabelledImages, strengths: Sequence[Strength]) -> list[Attacked]:
        images = examples.images
        direction, meter = self.direction(network, examples)
        direction_norm = meter.noise_norms(direction)
        attacked = []
        for strength in strengths:
            if isinstance(strength, Eps):
                eps = torch.full_like(direction_norm, strength.eps)
            else:
                eps = strength.noise_norm(meter.signal_norm) / direction_norm
                eps = torch.where(direction_norm > 0, eps, 0.0)
            unclamped = torch.addcmul(images, per_image(eps.float()), direction)
            attacked.append(meter.measure(unclamped.clamp(0, 1), unclamped, strength))
        return attacked

    def perturb(self, network: nn.Module, examples: LabelledImages, eps: torch.Tensor) -> torch.Tensor:
        direction, _ = self.direction(network, examples)
        return torch.addcmul(examples.images, per_image(eps), direction).clamp_(0, 1)
