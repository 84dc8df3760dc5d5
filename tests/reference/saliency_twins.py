"""Slow, plain computations of saliency maps and of the load of units, without captum and without hooks."""

import math

import torch
from torch import nn
from torch.nn.functional import interpolate


def gradient(network: nn.Module, image: torch.Tensor, label: int) -> torch.Tensor:
    """|∂ logit / ∂ x| of one image (C, S, S), by autograd."""
    given = image[None].clone().requires_grad_()
    (slope,) = torch.autograd.grad(network(given)[0, label], given)
    return slope[0].abs()


def grad_cam(before: nn.Module, after: nn.Module, image: torch.Tensor, label: int) -> torch.Tensor:
    """Selvaraju and others 2017, equations 1 and 2, for the network after(before(image)): (S, S)."""
    activation = before(image[None]).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(after(activation)[0, label], activation)
    total = torch.zeros(activation.shape[2:])
    for channel, slope in zip(activation[0].detach(), slopes[0], strict=True):
        total += slope.mean() * channel
    return interpolate(total.clamp_min(0)[None, None], image.shape[1:], mode="bilinear", align_corners=False)[0, 0]


def entropy(masses: list[float]) -> float:
    total = sum(masses)
    return -sum(mass / total * math.log(mass / total) for mass in masses if mass) / math.log(len(masses))
