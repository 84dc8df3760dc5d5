"""Maps (N, S, S) of what the logit of a class depends on, in pixel space."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam, Saliency
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import interpolate

__all__ = [
    "GRADIENT",
    "GRAD_CAM",
    "INTEGRATED",
    "grad_cam",
    "gradient",
    "integrated_gradients",
    "last_convolution",
    "maps",
]

GRADIENT, INTEGRATED, GRAD_CAM = "gradient", "integrated gradients", "Grad-CAM"
IMAGES_PER_PASS = 256
Map = NDArray[np.float32]


def maps(network: nn.Module, images: torch.Tensor, classes: torch.Tensor, steps: int) -> dict[str, Map]:
    """All maps of images (N, C, S, S) for `classes` (N,) by name, ≥ 0: of the gradient the largest absolute value of
    the channels, of integrated gradients the absolute value of their sum. Without Grad-CAM if the network has no
    convolution."""
    found = {
        GRADIENT: gradient(network, images, classes).amax(1),
        INTEGRATED: integrated_gradients(network, images, classes, steps).sum(1).abs(),
    }
    if (layer := last_convolution(network, images)) is not None:
        found[GRAD_CAM] = grad_cam(network, layer, images, classes)[:, 0]
    return {name: one.float().cpu().numpy() for name, one in found.items()}


def gradient(network: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """|∂ logit / ∂ x|, (N, C, S, S) (K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside convolutional networks", 2014,
    section 3.1)."""
    with _differentiable(images) as given:
        return _detached(Saliency(network).attribute(given, target=classes, abs=True))


def integrated_gradients(network: nn.Module, images: torch.Tensor, classes: torch.Tensor, steps: int) -> torch.Tensor:
    """(N, C, S, S): x times the mean gradient on the way from black to x, by Gauss-Legendre quadrature. Their sum is
    the difference of the logits (M. Sundararajan, A. Taly, Q. Yan, "Axiomatic attribution for deep networks", 2017)."""
    with _differentiable(images) as given:
        attributed = IntegratedGradients(network).attribute(
            given, baselines=0.0, target=classes, n_steps=steps, internal_batch_size=max(IMAGES_PER_PASS, len(images))
        )
        return _detached(attributed)


def grad_cam(network: nn.Module, layer: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """The positive part of the sum of the layer's channels, each weighted by the mean gradient of the logit, bilinearly
    enlarged to (N, 1, S, S) (R. R. Selvaraju and others, "Grad-CAM", 2017, equations 1 and 2)."""
    with _differentiable(images) as given:
        small = LayerGradCam(network, layer).attribute(given, target=classes, relu_attributions=True)
        return interpolate(_detached(small), tuple(images.shape[2:]), mode="bilinear", align_corners=False)


def last_convolution(network: nn.Module, images: torch.Tensor) -> nn.Module | None:
    """The nn.Conv2d that a forward pass calls last; None if it calls none."""
    called: list[nn.Module] = []
    hooks = [
        layer.register_forward_hook(lambda layer, *_: called.append(layer))
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    try:
        with torch.no_grad():
            network(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return called[-1] if called else None


@contextmanager
def _differentiable(images: torch.Tensor) -> Iterator[torch.Tensor]:
    with torch.enable_grad():
        yield images.detach().clone().requires_grad_()


def _detached(attributed: torch.Tensor) -> torch.Tensor:
    return attributed.detach()
