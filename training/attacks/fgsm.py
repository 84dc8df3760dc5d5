from typing import ClassVar, Literal

import torch
from torch import nn

from training.attacks.balls import steepest
from training.attacks.direction import OneDirection
from training.attacks.gradients import differentiate
from training.attacks.labelled_images import AttackError, LabelledImages
from training.attacks.snr import Meter
from training.models import Normalize
from training.models.margins import log_odds


class Fgsm(OneDirection):
    """x + ε sign(∇ₓL), clipped to [0, 1] (Goodfellow et al. 2015; Parseval report, equation 1); in L2, x + ε ∇ₓL /
    ‖∇ₓL‖₂.

    For a signal-to-noise ratio, ‖d‖₂ is measured: √D is correct only if no gradient is zero, and would make the
    perturbation of other images weaker than requested.

    `snr_space="standardised"` measures image and perturbation after the network's Normalize layer and takes steps of
    equal size there (eps is then in these units), as in the experiments of the report; clipping to [0, 1] remains."""

    kind: ClassVar[str] = "fgsm"
    snr_space: Literal["pixel", "standardised"] = "pixel"

    def direction(self, network: nn.Module, examples: LabelledImages) -> tuple[torch.Tensor, Meter]:
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
