"""The starting point of Square, and the change of an image in one query, in L∞ and in L2 (Andriushchenko et al.
2020)."""

import math
from typing import Protocol

import torch

from training.attacks.balls import Norm, per_image, project
from training.attacks.labelled_images import Draws

__all__ = ["NUMBERS", "SQUARES", "SquareProposals"]

NUMBERS = 8
"""The number of uniform random numbers per query: row and column of two windows, three signs, one transposition."""
TILES = 5
"""The number of tiles on each side of the image, at the start in L2."""


class SquareProposals(Protocol):
    def first(self, images: torch.Tensor, eps: torch.Tensor, draws: Draws) -> torch.Tensor: ...

    def moved(
        self, points: torch.Tensor, images: torch.Tensor, eps: torch.Tensor, fraction: float, drawn: torch.Tensor
    ) -> torch.Tensor:
        """`drawn` (N, NUMBERS): the random numbers of each image; `fraction`: the share of the image's area."""
        ...


class LinfSquares:
    """Section 3.3, algorithm 2: the square becomes x ± eps, with one sign for each channel."""

    def first(self, images: torch.Tensor, eps: torch.Tensor, draws: Draws) -> torch.Tensor:
        stripes = draws.signs(images.shape[1], 1, images.shape[3])
        return project(images + per_image(eps) * stripes, images, eps, "linf")

    def moved(
        self, points: torch.Tensor, images: torch.Tensor, eps: torch.Tensor, fraction: float, drawn: torch.Tensor
    ) -> torch.Tensor:
        size_px = images.shape[2]
        side_px = max(1, round(math.sqrt(fraction) * size_px))
        inside = _mask(_corners(drawn[:, :2], size_px, side_px), size_px, side_px)
        colours = project(images + per_image(eps) * _signs(drawn), images, eps, "linf")
        return torch.where(inside, colours, points)


class L2Squares:
    """Section 3.4, algorithm 3: the first window gets the shape of a tile and all of the unused radius, together with
    the norm of the second window, which becomes zero."""

    def first(self, images: torch.Tensor, eps: torch.Tensor, draws: Draws) -> torch.Tensor:
        channels, size_px = images.shape[1:3]
        side_px = max(1, size_px // TILES)
        tiles = size_px // side_px
        edge_px = (size_px - tiles * side_px) // 2
        signs = draws.signs(channels, tiles, tiles)
        covered = torch.kron(signs, tile(side_px).to(images.device))
        grid = torch.zeros_like(images)
        end_px = edge_px + tiles * side_px
        grid[:, :, edge_px:end_px, edge_px:end_px] = covered
        return project(images + per_image(eps / _length(grid)[:, 0, 0, 0]) * grid, images, eps, "l2")

    def moved(
        self, points: torch.Tensor, images: torch.Tensor, eps: torch.Tensor, fraction: float, drawn: torch.Tensor
    ) -> torch.Tensor:
        size_px = images.shape[2]
        side_px = min(size_px, max(3, round(math.sqrt(fraction) * size_px) // 2 * 2 + 1))
        corners = _corners(drawn[:, :2], size_px, side_px)
        here = _mask(corners, size_px, side_px)
        there = _mask(_corners(drawn[:, 2:4], size_px, side_px), size_px, side_px)
        noise = points - images
        unused = (per_image(eps) ** 2 - _length(noise) ** 2).clamp_min(0) / images.shape[1]
        both = torch.where(here | there, noise, 0.0)
        available = ((both**2).sum((2, 3), keepdim=True) + unused).sqrt()  # (N, 3, 1, 1)
        old = torch.where(here, noise, 0.0)
        new = _signs(drawn) * _placed(tile(side_px).to(images.device), corners, size_px, drawn[:, 7] < 0.5)
        new = new + old / _positive(_channel_length(old))
        new = new * available / _positive(_channel_length(new))
        noise = torch.where(here, new, torch.where(there, 0.0, noise))
        return project(images + noise, images, eps, "l2")


SQUARES: dict[Norm, SquareProposals] = {"linf": LinfSquares(), "l2": L2Squares()}


def tile(side_px: int) -> torch.Tensor:
    """(side_px, side_px) of length 1: two rectangles one above the other, a hill and its negative (equation 2)."""
    upper = side_px // 2
    shape = torch.cat([_hill(upper, side_px), -_hill(side_px - upper, side_px)])
    return shape / shape.square().sum().sqrt()


def _hill(height_px: int, width_px: int) -> torch.Tensor:
    """Σ_{j=d+1}^{n+1} 1/j² at distance d from the middle; the distance is the larger of those along the two axes."""
    rows = (torch.arange(height_px) - height_px // 2).abs()
    columns = (torch.arange(width_px) - width_px // 2).abs()
    distance = torch.maximum(rows[:, None], columns[None, :])
    terms = 1 / torch.arange(1, max(height_px, width_px) // 2 + 2, dtype=torch.float32) ** 2
    hill = terms.flip(0).cumsum(0).flip(0)[distance]
    return hill / _positive(hill.square().sum().sqrt())


def _corners(drawn: torch.Tensor, size_px: int, side_px: int) -> torch.Tensor:
    """(N, 2): row and column of the window's first pixel, uniform over all windows inside of the image."""
    places = size_px - side_px + 1
    return (drawn * places).long().clamp_(max=places - 1)


def _mask(corners: torch.Tensor, size_px: int, side_px: int) -> torch.Tensor:
    """(N, 1, S, S), bool: True inside of each image's window."""
    offsets = torch.arange(size_px, device=corners.device) - corners[:, :, None]  # (N, 2, S)
    inside = (offsets >= 0) & (offsets < side_px)
    return (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]


def _placed(shape: torch.Tensor, corners: torch.Tensor, size_px: int, turned: torch.Tensor) -> torch.Tensor:
    """(N, 1, S, S): `shape` in each image's window, transposed where `turned`, and zero outside."""
    count, side_px = len(corners), len(shape)
    shapes = torch.where(turned[:, None, None], shape.T, shape)
    rows, columns = (corners[:, :, None] + torch.arange(side_px, device=corners.device)).unbind(1)
    placed = torch.zeros(count, size_px, size_px, device=corners.device)
    images = torch.arange(count, device=corners.device)[:, None, None]
    placed[images, rows[:, :, None], columns[:, None, :]] = shapes
    return placed[:, None]


def _signs(drawn: torch.Tensor) -> torch.Tensor:
    """(N, 3, 1, 1): −1 or 1."""
    return torch.where(drawn[:, 4:7] < 0.5, -1.0, 1.0)[:, :, None, None]


def _length(noise: torch.Tensor) -> torch.Tensor:
    """The L2 norm of each image (N, 1, 1, 1)."""
    return noise.square().sum((1, 2, 3), keepdim=True).sqrt()


def _channel_length(noise: torch.Tensor) -> torch.Tensor:
    """The L2 norm of each channel (N, 3, 1, 1)."""
    return noise.square().sum((2, 3), keepdim=True).sqrt()


def _positive(length: torch.Tensor) -> torch.Tensor:
    return torch.where(length > 0, length, 1.0)
