"""Noise of a range of strengths, drawn anew for each image of each step on the device of the batch.

The functions give the same grey levels as the noises of pipelines.noise for the same random numbers; `blur` differs
slightly, since Pillow's is an approximation."""

import math
from itertools import pairwise
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch.nn.functional import conv2d, pad

from pipelines.settings import AddedLater, Settings

__all__ = ["FreshNoise", "blur", "gaussian", "salt_pepper", "waves"]

Kind = Literal["gaussian", "waves", "salt_pepper", "blur"]
KINDS: tuple[Kind, ...] = ("gaussian", "waves", "salt_pepper", "blur")


class FreshNoise(Settings):
    """Half of each batch stays clean (`clean_share`); the rest is divided equally among the `kinds` of noise, whose
    strength is drawn for each image:

    * Gaussian with a standard deviation uniform up to `std_grey`;
    * a wave in any direction and phase, amplitude × (sin x + cos x) with an amplitude uniform up to `amplitude_grey`
      and a period log-uniform in `period_px`;
    * salt and pepper on a fraction of the pixels log-uniform in `fraction`;
    * a Gaussian blur with a standard deviation uniform up to `blur_px`.

    "Uniform up to" begins at `weakest` times the greatest strength: at 0, or with 1 it is always the greatest. With
    `directions` "axes" waves run along the columns or the rows and have phase 0, as in pipelines.noise.periodic."""

    clean_share: float = Field(default=0.5, ge=0, lt=1)
    std_grey: float = Field(default=60.0, ge=0, le=255)
    amplitude_grey: float = Field(default=60.0, ge=0, le=255)
    period_px: tuple[float, float] = (3.0, 48.0)
    fraction: tuple[float, float] = (0.0005, 0.1)
    blur_px: float = Field(default=1.5, ge=0, le=10)
    kinds: Annotated[tuple[Kind, ...], AddedLater(before=KINDS)] = Field(default=KINDS, min_length=1)
    weakest: Annotated[float, AddedLater(before=0.0)] = Field(default=0.0, ge=0, le=1)
    directions: Annotated[Literal["any", "axes"], AddedLater(before="any")] = "any"

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Self:
        for name, (low, high) in (("period_px", self.period_px), ("fraction", self.fraction)):
            if not 0 < low <= high < math.inf:
                raise ValueError(f"{name}: expected two positive numbers, the smaller one first, got {[low, high]}")
        if self.fraction[1] > 1:
            raise ValueError(f"fraction: {self.fraction[1]} is more than all pixels")
        if len(set(self.kinds)) < len(self.kinds):
            raise ValueError(f"kinds: {', '.join(self.kinds)}: each at most once")
        return self

    def __call__(self, images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        """(N, channels, S, S) in [0, 1]. The first rows stay as they are, and the next ones get one kind after the
        other: the order of a batch is random already. `draws` is a generator of the device of the images."""
        clean = round(self.clean_share * len(images))
        kinds = len(self.kinds)
        ends = [clean + round((len(images) - clean) * kind / kinds) for kind in range(kinds + 1)]
        parts = [images[start:end] for start, end in pairwise(ends)]
        of_kind = {
            "gaussian": self._gaussian, "waves": self._waves, "salt_pepper": self._salt_pepper, "blur": self._blur,
        }  # fmt: skip
        noisy = [of_kind[kind](part, draws) for kind, part in zip(self.kinds, parts, strict=True) if len(part)]
        return torch.cat([images[:clean], *noisy])

    def _gaussian(self, images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        normal = torch.randn(images.shape, generator=draws, device=images.device)
        return gaussian(images, self._strength(images, draws) * self.std_grey, normal)

    def _waves(self, images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        amplitude = self._strength(images, draws) * self.amplitude_grey
        period = _log_uniform(*self.period_px, images, draws)
        phase, angle = (_uniform(images, draws) * 2 * math.pi for _ in range(2))
        if self.directions == "axes":
            phase, angle = torch.zeros_like(phase), torch.where(angle < math.pi, 0.0, math.pi / 2)
        return waves(images, amplitude, period, phase, angle)

    def _salt_pepper(self, images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        shape = (len(images), 1, *images.shape[2:])
        order, salt = (torch.rand(shape, generator=draws, device=images.device) for _ in range(2))
        return salt_pepper(images, _log_uniform(*self.fraction, images, draws), order, salt < 0.5)

    def _blur(self, images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        return blur(images, self._strength(images, draws) * self.blur_px, math.ceil(3 * self.blur_px))

    def _strength(self, images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        return self.weakest + (1 - self.weakest) * _uniform(images, draws)


def gaussian(images: torch.Tensor, std_grey: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """`std_grey` (N,) grey levels times standard normal numbers of the shape of the images (pipelines.noise.gaussian
    with overflow="clip")."""
    return _grey(images * 255 + normal * _per_image(std_grey))


def waves(
    images: torch.Tensor, amplitude_grey: torch.Tensor, period_px: torch.Tensor, phase: torch.Tensor,
    angle: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """amplitude_grey × (sin x + cos x) with x = 2π · d / period_px + phase, where d is the position along the direction
    `angle` in radians: 0 is along the columns (vertical stripes), π/2 along the rows. (N,) each. Periodic of
    pipelines.noise has phase 0 and these two directions."""
    rows, columns = (torch.arange(side, device=images.device) for side in images.shape[2:])
    position = columns * _per_image(angle.cos()) + rows[:, None] * _per_image(angle.sin())
    x = 2 * math.pi * position / _per_image(period_px) + _per_image(phase)
    return _grey(images * 255 + (_per_image(amplitude_grey) * (x.sin() + x.cos())).round())


def salt_pepper(images: torch.Tensor, fraction: torch.Tensor, order: torch.Tensor, salt: torch.Tensor) -> torch.Tensor:
    """Pixels whose `order` (N, 1, S, S) in [0, 1) is below `fraction` (N,) turn white where `salt` is true, otherwise
    black."""
    return torch.where(order < _per_image(fraction), salt.to(images.dtype), images)


def blur(images: torch.Tensor, std_px: torch.Tensor, radius_px: int) -> torch.Tensor:
    """A Gaussian of `std_px` (N,) pixels, cut at `radius_px`, with repeated border pixels."""
    number, channels = images.shape[:2]
    at = torch.arange(-radius_px, radius_px + 1, device=images.device)
    kernel = torch.exp(-0.5 * (at / std_px.clamp_min(1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, dim=0)
    planes = pad(images, (radius_px,) * 4, mode="replicate").reshape(1, number * channels, *_padded(images, radius_px))
    across = conv2d(planes, kernel[:, None, None, :], groups=number * channels)
    return _grey(conv2d(across, kernel[:, None, :, None], groups=number * channels).view(images.shape) * 255)


def _padded(images: torch.Tensor, radius_px: int) -> tuple[int, int]:
    return images.shape[2] + 2 * radius_px, images.shape[3] + 2 * radius_px


def _grey(values: torch.Tensor) -> torch.Tensor:
    """Grey levels rounded and clipped as in a stored image, in [0, 1]."""
    return values.round().clamp(0, 255) / 255


def _per_image(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None, None]


def _uniform(images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    return torch.rand(len(images), generator=draws, device=images.device)


def _log_uniform(low: float, high: float, images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    return low * (high / low) ** _uniform(images, draws)
