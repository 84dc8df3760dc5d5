"""What attacks ask of a network: its logits, its losses, and their gradients with respect to the images alone."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from training.attacks.labelled_images import AttackError, LabelledImages

__all__ = ["Loss", "Point", "differentiate", "fooled", "logits_of"]

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(logits (N, C), labels (N,)) → (N,), which an attack makes large."""


class Point(NamedTuple):
    """A loss at N images: its values (N,), its gradients (N, 3, S, S), and whose prediction is not the label (N,)."""

    loss: torch.Tensor
    gradient: torch.Tensor
    fooled: torch.Tensor


def fooled(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Where the prediction is not the label, as whoever predicts the stored image will find it."""
    return logits.argmax(1) != labels


def logits_of(network: nn.Module, images: torch.Tensor, examples: LabelledImages) -> torch.Tensor:
    """(N, C); `images` are the examples' in some changed form. Raises AttackError where a label is no class of it, or
    a logit is not finite."""
    logits: torch.Tensor = network(images.contiguous(memory_format=torch.channels_last))  # convolves twice as fast
    known = (examples.labels >= 0) & (examples.labels < logits.shape[1])
    if not known.all():
        unknown = sorted(set(examples.labels[~known].tolist()))
        raise AttackError(
            f"labels {unknown} of {examples.name(~known)} are none of the network's {logits.shape[1]} classes; "
            f"was it trained on another dataset?"
        )
    finite = logits.detach().isfinite().all(1)
    if not finite.all():
        raise AttackError(f"the network's logits are not finite for {examples.name(~finite)}")
    return logits


def differentiate(network: nn.Module, images: torch.Tensor, examples: LabelledImages, loss: Loss) -> Point:
    """The loss at `images`, one forward and one backward pass; nothing is added to the parameters' gradients. Raises
    AttackError, naming the images, where a gradient is not finite."""
    with torch.enable_grad():
        inputs = images.detach().requires_grad_()
        logits = logits_of(network, inputs, examples)
        values = loss(logits, examples.labels)
        (gradient,) = torch.autograd.grad(values.sum(), inputs)
    finite = gradient.sum((1, 2, 3)).isfinite()  # one that is not makes the sum so
    if not finite.all():
        raise AttackError(f"the network's gradient is not finite for {examples.name(~finite)}")
    return Point(values.detach(), gradient, fooled(logits.detach(), examples.labels))
