"""Attacks on a network that is being trained: adversarial images as an objective adds them to its batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import nn

from training.attacks.contract import Attack, FixedStrength, MinimalPerturbation
from training.attacks.labelled_images import AttackError, LabelledImages
from training.attacks.snr import Strength

__all__ = ["Step", "adversarial_images", "evaluating"]


class Step(Protocol):
    """What is known of a training step; training.objectives.ObjectiveInputs is one."""

    @property
    def network(self) -> nn.Module: ...
    @property
    def images(self) -> torch.Tensor: ...
    @property
    def labels(self) -> torch.Tensor: ...
    @property
    def image_ids(self) -> Sequence[str]: ...
    @property
    def seed(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def step(self) -> int: ...


def adversarial_images(step: Step, attack: Attack, strength: Strength | None = None) -> torch.Tensor:
    """Of the step's images, (N, C, S, S), against the network as it is now, in evaluation mode; a `FixedStrength` needs
    the strength.

    Nothing of the network is changed: each layer is in the mode that it was in, running statistics and the parameters'
    gradients are as they were. Random numbers follow from (seed, image, epoch, step), so a training that is resumed
    crafts the same images. Raises AttackError, which a loss that has become NaN is a reason for."""
    images = step.images.detach().clamp(0, 1)  # what augmentation interpolates may be past 1 by a rounding
    moment = (step.epoch, step.step)
    examples = LabelledImages(images, step.labels, step.image_ids, step.seed, moment)
    try:
        with evaluating(step.network):
            return _attacked(attack, step.network, examples, strength)
    except AttackError as error:
        raise AttackError(f"epoch {step.epoch + 1}, step {step.step + 1}: {error}") from None


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode; afterwards each of its layers is in its own mode again, a frozen one too."""
    training = [layer for layer in network.modules() if layer.training]
    network.eval()
    try:
        yield
    finally:
        for layer in training:
            layer.training = True  # train() would switch the layers inside it as well


def _attacked(attack: Attack, network: nn.Module, examples: LabelledImages, strength: Strength | None) -> torch.Tensor:
    if isinstance(attack, FixedStrength) and strength is not None:
        return attack(network, examples, [strength])[0].images
    if isinstance(attack, MinimalPerturbation) and strength is None:
        return attack(network, examples).images
    needs = "needs a strength" if strength is None else "has no strength: it seeks the smallest perturbation"
    raise AttackError(f"attack={attack.kind}: {needs}")
