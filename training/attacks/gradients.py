"""What attacks need from a network: its logits, its losses, and their gradients with respect to the images only."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from training.attacks.labelled_images import AttackError, LabelledImages

__all__ = ["Loss", "Point", "differentiate", "fooled", "logits_of"]

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(logits (N, C), labels (N,)) → (N,), which an attack maximizes."""


class Point(NamedTuple):
    """A loss at N images: its values (N,), its gradients (N, 3, S, S), and whether the prediction differs from the
    label (N,)."""

    loss: torch.Tensor
    gradient: torch.Tensor
    fooled: torch.Tensor


def fooled(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Where the prediction differs from the label, as it will for the stored image."""
    return logits.argmax(1) != labels


def logits_of(network: nn.Module, images: torch.Tensor, examples: LabelledImages) -> torch.Tensor:
    """(N, C); `images` are modified versions of the examples' images. Raises AttackError if a label is not a class of
    the network, or if a logit is not finite."""
    logits: torch.Tensor = network(images.contiguous(memory_format=torch.channels_last))  # twice as fast
    known = (examples.labels >= 0) & (examples.labels < logits.shape[1])
    if not known.all():
        unknown = sorted(set(examples.labels[~known].tolist()))
        raise AttackError(
            f"labels {unknown} of {examples.name(~known)} are not among the network's {logits.shape[1]} classes; "
            f"was it trained on another dataset?"
        )
    finite = logits.detach().isfinite().all(1)
    if not finite.all():
        raise AttackError(f"the network's logits are not finite for {examples.name(~finite)}")
    return logits


def differentiate(network: nn.Module, images: torch.Tensor, examples: LabelledImages, loss: Loss) -> Point:
    """The loss at `images`, by one forward and one backward pass; gradients of the parameters are not accumulated.
    Raises AttackError, naming the images, if a gradient is not finite."""
    with torch.enable_grad():
        inputs = images.detach().requires_grad_()
        logits = logits_of(network, inputs, examples)
        values = loss(logits, examples.labels)
        (gradient,) = torch.autograd.grad(values.sum(), inputs)
    finite = gradient.sum((1, 2, 3)).isfinite()  # a non-finite value makes the sum non-finite
    if not finite.all():
        raise AttackError(f"the network's gradient is not finite for {examples.name(~finite)}")
    return Point(values.detach(), gradient, fooled(logits.detach(), examples.labels))
