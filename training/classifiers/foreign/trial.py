"""One batch through a network from outside, before it is relied on."""

from typing import Any, NamedTuple, Self

import torch
from torch import nn

from training.classifiers.foreign.contract import ForeignError, explained, first_line

__all__ = ["Trial"]

IMAGES = 4
SAME = 1e-3
"""The difference of logits that arithmetic may make, as a share of their range."""
SUM_IS_ONE = 1e-4


class Trial(NamedTuple):
    """`probabilities`: the outputs are positive and sum to 1. `no_gradients`: as in AnyClassifier."""

    classes: int
    probabilities: bool
    no_gradients: str

    @classmethod
    def of(cls, reference: str, network: nn.Module, channels: int, size_px: int, device: torch.device) -> Self:
        """Four images of uniform noise, always the same. Raises ForeignError, also if the logits of an image change
        from pass to pass or with the other images of its batch, as in training mode."""
        drawn = torch.Generator().manual_seed(0)
        images = torch.rand(IMAGES, channels, size_px, size_px, generator=drawn).to(device)
        with (
            torch.inference_mode(),
            explained(
                f"{reference} does not take images of {channels} channels and {size_px} px",
                "choose data.size_px, or what the model was made for",
            ),
        ):
            outputs = _checked(reference, network(images))
            again, first = network(images), network(images[:1])
        scale = SAME * max(1.0, float(outputs.amax() - outputs.amin()))
        if not torch.allclose(outputs, again, rtol=0, atol=scale, equal_nan=True):
            raise ForeignError(f"{reference} gives other logits in a second pass; {_IN_EVALUATION}")
        if not torch.allclose(outputs[:1], first, rtol=0, atol=scale, equal_nan=True):
            raise ForeignError(f"{reference} gives an image other logits in another batch; {_IN_EVALUATION}")
        sums = outputs.float().sum(1)
        probabilities = bool((outputs >= 0).all() and ((sums - 1).abs() < SUM_IS_ONE).all())
        return cls(outputs.shape[1], probabilities, _no_gradients(network, images))


_IN_EVALUATION = "it seems to be in training mode: export it after network.eval()"


def _checked(reference: str, outputs: Any) -> torch.Tensor:
    if not isinstance(outputs, torch.Tensor):
        raise ForeignError(f"{reference} returns a {type(outputs).__name__}, expected logits (N, classes)")
    if outputs.dim() != 2 or len(outputs) != IMAGES or not outputs.is_floating_point():
        raise ForeignError(
            f"{reference} returns {outputs.dtype} {tuple(outputs.shape)} for {IMAGES} images, expected logits "
            f"({IMAGES}, classes)"
        )
    return outputs


def _no_gradients(network: nn.Module, images: torch.Tensor) -> str:
    with torch.enable_grad():
        given = images.clone().requires_grad_()
        try:
            logits = network(given)
            if not logits.requires_grad:
                return "has no gradients with respect to its images"
            torch.autograd.grad(logits[:, 0].sum(), given)
        except Exception as error:  # noqa: BLE001, the code of others may raise anything
            return f"has no gradients with respect to its images ({type(error).__name__}: {first_line(error)})"
    return ""
