"""Convolutions that halve the side of an image, and transposed ones that double it, for any size."""

from torch import nn

__all__ = ["doubled", "halved", "halved_sides", "sides"]

SMALLEST_SIDE = 8
"""Smaller sides are not halved: 28 px start at 7 × 7, 32 and 64 px at 4 × 4."""


def sides(size_px: int, halvings: int) -> list[int]:
    """size_px and the sides after each halving, rounded up: 28, 14, 7, 4."""
    found = [size_px]
    for _ in range(halvings):
        found.append(-(-found[-1] // 2))
    return found


def halved_sides(size_px: int) -> list[int]:
    """size_px and the sides after each halving, the last one below SMALLEST_SIDE."""
    halvings = 0
    while sides(size_px, halvings)[-1] >= SMALLEST_SIDE:
        halvings += 1
    return sides(size_px, halvings)


def _kernel(side: int) -> int:
    """The kernel that, with padding 1 and stride 2, leads from `side` to half of it, and back: 4 if `side` is even,
    which covers all pixels equally; 3 if it is odd."""
    return 3 if side % 2 else 4


def halved(side: int, channels_in: int, channels: int, bias: bool = True) -> nn.Conv2d:
    """side → side / 2, rounded up."""
    stride = 2 if side > 1 else 1  # equivalent on 1 × 1 images, where Xeons' bfloat16 gradients of stride 2 are wrong
    return nn.Conv2d(channels_in, channels, _kernel(side), stride, 1, bias=bias)


def doubled(side: int, channels_in: int, channels: int, bias: bool = True) -> nn.ConvTranspose2d:
    """side / 2, rounded up → side."""
    return nn.ConvTranspose2d(channels_in, channels, _kernel(side), 2, 1, bias=bias)
