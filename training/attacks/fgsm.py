from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import nn

from training.attacks.balls import per_image, steepest
from training.attacks.contract import FixedStrength
from training.attacks.examples import AttackError, Examples
from training.attacks.gradients import differentiate, log_odds
from training.attacks.snr import Attacked, Eps, Meter, Strength
from training.models import Normalize


class Fgsm(FixedStrength):
    """x + ε sign(∇ₓL), cut to [0, 1] (Goodfellow et al. 2015; Parseval report, equation 1); in L2, x + ε ∇ₓL / ‖∇ₓL‖₂.

    All strengths share one forward and one backward pass. At a signal-to-noise ratio (equation 2),
    ε = ‖x‖₂ / (‖d‖₂ · 10^(SNR/20)) for each image, where d is its direction. With √D for ‖d‖₂, which holds where no
    gradient is zero, the perturbation of the others would be weaker than asked for. An image whose gradient is zero
    everywhere cannot be attacked: it stays as it is, at an infinite ratio. A black image has no ratio: it stays as it
    is, at NaN.

    `snr_space="standardised"` measures image and perturbation after the network's Normalize layer and takes steps of
    equal size there, in whose units `eps` then is, as the experiments of the report do; the cut to [0, 1] stays."""

    kind: ClassVar[str] = "fgsm"
    snr_space: Literal["pixel", "standardised"] = "pixel"

    def run(self, network: nn.Module, examples: Examples, strengths: Sequence[Strength]) -> list[Attacked]:
        images = examples.images
        direction, meter = self._direction(network, examples)
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

    def perturb(self, network: nn.Module, examples: Examples, eps: torch.Tensor) -> torch.Tensor:
        direction, _ = self._direction(network, examples)
        return torch.addcmul(examples.images, per_image(eps), direction).clamp_(0, 1)

    def _direction(self, network: nn.Module, examples: Examples) -> tuple[torch.Tensor, Meter]:
        gradient = differentiate(network, examples.images, examples, log_odds).gradient
        if self.snr_space == "pixel":
            return steepest(gradient, self.norm), Meter(examples.images)
        normalize = _normalize_of(network)
        meter = Meter(examples.images, normalize(examples.images), normalize.std)
        return steepest(gradient * normalize.std, self.norm) * normalize.std, meter


def _normalize_of(network: nn.Module) -> Normalize:
    first = next(network.children(), None)
    if not isinstance(first, Normalize):
        raise AttackError("snr_space=standardised: the network's first layer does not normalize; use snr_space=pixel")
    return first
