"""Attacks on a network that is being trained: adversarial images as an objective adds them to its batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Literal, Protocol

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.attacks.contract import Attack, FixedStrength, MinimalPerturbation, check
from training.attacks.labelled_images import AttackError, LabelledImages
from training.attacks.snr import Eps, SnrDb, Strength

__all__ = ["Mode", "Step", "adversarial_images", "crafting", "evaluating", "examples_of"]

Mode = Literal["evaluation", "training"]
"""The mode of batch norm while a training attacks its network: with running statistics, as an attacker of the trained
network would have it, or with those of the batch, as in A. Kurakin et al. 2017. Dropout is off in both."""


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


def adversarial_images(
    step: Step, attack: Attack, strength: Strength | torch.Tensor | None = None, mode: Mode = "evaluation"
) -> torch.Tensor:
    """Of the step's images, (N, C, S, S), against the network as it is now; a `FixedStrength` needs the strength, or a
    radius for each image, (N,).

    Nothing of the network is changed: each layer is in the mode that it was in, running statistics and the parameters'
    gradients are as they were. Random numbers follow from (seed, image, epoch, step), so a training that is resumed
    crafts the same images. Raises AttackError, which a loss that has become NaN is a reason for."""
    examples = examples_of(step)
    with crafting(step, mode):
        return _attacked(attack, step.network, examples, strength)


def examples_of(step: Step) -> LabelledImages:
    images = step.images.detach().clamp(0, 1)  # what augmentation interpolates may be past 1 by a rounding
    return LabelledImages(images, step.labels, step.image_ids, step.seed, (step.epoch, step.step))


@contextmanager
def crafting(step: Step, mode: Mode) -> Iterator[None]:
    """The step's network as it is attacked, afterwards as it was; an AttackError names the step."""
    try:
        with evaluating(step.network), _by_the_batch(step.network) if mode == "training" else nullcontext():
            yield
    except AttackError as error:
        raise AttackError(f"epoch {step.epoch + 1}, step {step.step + 1}: {error}") from None


@contextmanager
def _by_the_batch(network: nn.Module) -> Iterator[None]:
    """Batch norm normalizes by the batch; its running statistics are kept."""
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
    kept = [{name: tensor.clone() for name, tensor in layer.named_buffers()} for layer in layers]
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer, buffers in zip(layers, kept, strict=True):
            layer.training = False
            for name, tensor in buffers.items():
                layer.get_buffer(name).copy_(tensor)


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


def _attacked(
    attack: Attack, network: nn.Module, examples: LabelledImages, strength: Strength | torch.Tensor | None
) -> torch.Tensor:
    if isinstance(attack, FixedStrength) and isinstance(strength, torch.Tensor):
        check(network, examples)
        if not (strength.isfinite() & (strength >= 0)).all():
            raise AttackError(f"attack={attack.kind}: radii must be finite and at least 0, got {strength.tolist()[:3]}")
        return attack.perturb(network, examples, strength)
    if isinstance(attack, FixedStrength) and isinstance(strength, Eps | SnrDb):
        return attack(network, examples, [strength])[0].images
    if isinstance(attack, MinimalPerturbation) and strength is None:
        return attack(network, examples).images
    needs = "needs a strength" if strength is None else "has no strength: it seeks the smallest perturbation"
    raise AttackError(f"attack={attack.kind}: {needs}")
