"""Balls around images, in L∞ or L2, one radius per image, always clipped to [0, 1]."""

import math
from typing import Literal

import torch

from training.attacks.labelled_images import Draws

__all__ = ["Norm", "norms", "per_image", "project", "scatter_inside", "steepest"]

Norm = Literal["linf", "l2"]


def per_image(values: torch.Tensor) -> torch.Tensor:
    """(N,) → (N, 1, 1, 1)."""
    return values[:, None, None, None]


def norms(perturbation: torch.Tensor, norm: Norm) -> torch.Tensor:
    """The norms (N,) of perturbations (N, 3, S, S)."""
    order = torch.inf if norm == "linf" else 2
    found: torch.Tensor = torch.linalg.vector_norm(perturbation, ord=order, dim=(1, 2, 3))
    return found


def steepest(gradient: torch.Tensor, norm: Norm) -> torch.Tensor:
    """The direction of norm 1 along which a linear loss grows most; zero where the gradient is zero."""
    if norm == "linf":
        return gradient.sign()
    largest = per_image(norms(gradient, "linf"))
    scaled = gradient / torch.where(largest > 0, largest, 1.0)  # squares of tiny gradients would be zero
    length = per_image(norms(scaled, "l2"))
    return scaled / torch.where(length > 0, length, 1.0)


def project(points: torch.Tensor, centres: torch.Tensor, eps: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Projects into the ball of radius `eps` (N,) around `centres`, which are in [0, 1], and clips to [0, 1]."""
    radius = per_image(eps)
    if norm == "linf":
        return points.clamp(centres - radius, centres + radius).clamp_(0, 1)
    away = points - centres
    length = per_image(norms(away, "l2"))
    return (centres + away * torch.where(length > radius, radius / length, 1.0)).clamp_(0, 1)


def scatter_inside(centres: torch.Tensor, eps: torch.Tensor, norm: Norm, draws: Draws) -> torch.Tensor:
    """A random point of each ball, uniform in its volume, then clipped to [0, 1]."""
    shape = centres.shape[1:]
    if norm == "linf":
        offsets = 2 * draws.uniform(*shape) - 1
    else:
        radius = draws.uniform(1)[:, 0] ** (1 / math.prod(shape))
        offsets = steepest(draws.normal(*shape), "l2") * per_image(radius)
    return project(centres + per_image(eps) * offsets, centres, eps, norm)
