"""Random changes of training images, drawn and applied on the device of the batch."""

import math
from functools import partial
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch.nn.functional import affine_grid, grid_sample

from pipelines.datasets.card import DatasetCard
from pipelines.errors import SettingsError
from pipelines.settings import AddedLater, Settings
from training.augmentation.erase import Erase
from training.augmentation.fresh_noise import FreshNoise
from training.augmentation.low_resolution import LowResolution
from training.augmentation.motion_blur import MotionBlur
from training.augmentation.shadow import Shadow

__all__ = ["DRAWS", "LATER_DRAWS", "NO_MIRRORS", "Augmentation", "Mirrors"]

DRAWS = 8
"""Numbers per image: two flips, rotation, zoom, shift in x and y, contrast, brightness."""
LATER_DRAWS = 2
"""Further numbers per image, if these are asked for: shear, gamma."""


class Mirrors(NamedTuple):
    """The label of the image mirrored left to right (`horizontal`) and top to bottom (`vertical`), by label; -1 if it
    must not be mirrored. (num_classes,) each."""

    horizontal: torch.Tensor
    vertical: torch.Tensor

    @classmethod
    def of(cls, card: DatasetCard) -> "Mirrors":
        labels = range(card.num_classes)
        return cls(*(torch.tensor([mirror.get(label, -1) for label in labels]) for mirror in (card.hflip, card.vflip)))


NO_MIRRORS = Mirrors(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))
"""For augmentations without label-safe flips."""


class Augmentation(Settings):
    """Rotation by up to ± `rotation_deg`, contrast by a factor of 1 ± `contrast`, and flips (paper, section 4.1:
    "Random rotation of 40 degrees, Random contrast of 0.6 and Horizontal and vertical flip").

    The paper flips every image. This turns "keep left" into "keep right" under its old label, so flips="label_safe"
    flips only images whose class has a mirror on the card of the data set, and assigns the label of the mirror. "auto"
    is label_safe if the card defines mirrors, otherwise none. Contrast is defined as in Keras: around the mean of each
    channel, clipped to [0, 1]. Areas that a rotation uncovers are black, like padding. `shift_fraction`,
    `zoom_fraction` and `brightness` (up to ± this much is added to all values of an image) are not in the paper. Nor
    are `shear_deg` (x is shifted by y · tan of up to ± this angle, before the rotation) and `gamma` (x becomes x^g,
    where log g is uniform within ± log(1 + gamma)). `shadow` comes before changes of light, `erase`, `motion_blur` and
    `low_resolution` after them in this order, each defined in its file. `noise` is applied last (fresh_noise.py)."""

    rotation_deg: float = Field(default=40.0, ge=0, le=180)
    contrast: float = Field(default=0.6, ge=0, le=1)
    flips: Literal["auto", "none", "label_safe", "all"] = "auto"
    shift_fraction: float = Field(default=0.0, ge=0, lt=1)
    zoom_fraction: float = Field(default=0.0, ge=0, lt=1)
    brightness: float = Field(default=0.0, ge=0, le=1)
    shear_deg: Annotated[float, AddedLater(before=0.0)] = Field(default=0.0, ge=0, lt=90)
    gamma: Annotated[float, AddedLater(before=0.0)] = Field(default=0.0, ge=0, allow_inf_nan=False)
    noise: Annotated[FreshNoise | None, AddedLater(before=None)] = None
    shadow: Annotated[Shadow | None, AddedLater(before=None)] = None
    erase: Annotated[Erase | None, AddedLater(before=None)] = None
    motion_blur: Annotated[MotionBlur | None, AddedLater(before=None)] = None
    low_resolution: Annotated[LowResolution | None, AddedLater(before=None)] = None

    @property
    def draws(self) -> int:
        """How many uniform numbers an image needs. DRAWS for the settings that there were first, so that the numbers of
        older trainings stay as they were."""
        further = sum(part.draws for part in self._parts() if part)
        return DRAWS + (LATER_DRAWS if self.shear_deg or self.gamma or further else 0) + further

    def for_card(self, card: DatasetCard) -> "Augmentation":
        """These settings with "auto" resolved. Raises SettingsError if label-safe flips are requested and the card does
        not define mirrors."""
        if self.flips == "label_safe" and not (card.hflip or card.vflip):
            raise SettingsError(
                f"augmentation.flips=label_safe: the card of {card.name} does not define mirrors; set "
                "augmentation.flips=none, or for an image_folder dataset.hflip"
            )
        if self.flips != "auto":
            return self
        return self.model_copy(update={"flips": "label_safe" if card.hflip or card.vflip else "none"})

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, draws: torch.Tensor, mirrors: Mirrors = NO_MIRRORS
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, channels, S, S) floats in [0, 1] and (N,) labels, changed according to the (self.draws, N) uniform
        numbers in [0, 1); without noise. The numbers of an image do not depend on its batch or rank."""
        if self.flips == "auto":
            raise ValueError("flips=auto must first be resolved by for_card")
        mirror, upside_down, *move, contrast, brightness = draws[:DRAWS].unbind()
        shear, gamma = draws[DRAWS : DRAWS + LATER_DRAWS].unbind() if len(draws) > DRAWS else (None, None)
        parts = self._parts()
        given = iter(torch.split(draws[DRAWS + LATER_DRAWS :], [part.draws for part in parts if part]))
        shadow, *later = (partial(part, draws=next(given)) if part else _same for part in parts)
        if self.flips != "none":
            images, labels = self._flip(images, labels, mirrors.horizontal, 3, mirror)
            images, labels = self._flip(images, labels, mirrors.vertical, 2, upside_down)
        turn, zoom, x, y = move
        images = shadow(self._move(images, turn, zoom, x, y, shear))
        images = self._brightness(self._contrast(self._gamma(images, gamma), contrast), brightness)
        for part in later:
            images = part(images)
        return images, labels

    def _parts(self) -> tuple[Shadow | None, Erase | None, MotionBlur | None, LowResolution | None]:
        return self.shadow, self.erase, self.motion_blur, self.low_resolution

    def _flip(
        self, images: torch.Tensor, labels: torch.Tensor, becomes: torch.Tensor, axis: int, draw: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = draw < 0.5
        if self.flips == "label_safe":
            turned = becomes.to(labels.device)[labels]
            chosen &= turned >= 0
            labels = torch.where(chosen, turned, labels)
        return torch.where(chosen[:, None, None, None], images.flip(axis), images), labels

    def _move(
        self, images: torch.Tensor, turn: torch.Tensor, zoom: torch.Tensor, x: torch.Tensor, y: torch.Tensor,
        shear: torch.Tensor | None,
    ) -> torch.Tensor:  # fmt: skip
        if not (self.rotation_deg or self.shift_fraction or self.zoom_fraction or self.shear_deg):
            return images
        angle = _around_zero(turn) * torch.pi * self.rotation_deg / 180
        scale = 1 + _around_zero(zoom) * self.zoom_fraction
        cosine, sine = angle.cos() * scale, angle.sin() * scale
        shift_x, shift_y = (_around_zero(draw) * 2 * self.shift_fraction for draw in (x, y))
        slope = torch.zeros_like(turn) if shear is None else (_around_zero(shear) * math.radians(self.shear_deg)).tan()
        # The columns of rotation · shear, where shear is [[1, slope], [0, 1]].
        across, down = cosine * slope - sine, sine * slope + cosine
        rows = torch.stack((cosine, across, shift_x, sine, down, shift_y), dim=1).view(-1, 2, 3)
        grid = affine_grid(rows, list(images.shape), align_corners=False)
        return grid_sample(images, grid.to(images.dtype), align_corners=False)

    def _gamma(self, images: torch.Tensor, draw: torch.Tensor | None) -> torch.Tensor:
        if draw is None or not self.gamma:
            return images
        exponent = (_around_zero(draw) * math.log1p(self.gamma)).exp()
        return images.clamp_min(0) ** exponent[:, None, None, None]

    def _contrast(self, images: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        if not self.contrast:
            return images
        factor = 1 + _around_zero(draw) * self.contrast
        mean = images.mean(dim=(2, 3), keepdim=True)
        return ((images - mean) * factor[:, None, None, None] + mean).clamp(0, 1)

    def _brightness(self, images: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        if not self.brightness:
            return images
        return (images + (_around_zero(draw) * self.brightness)[:, None, None, None]).clamp(0, 1)


def _same(images: torch.Tensor) -> torch.Tensor:
    return images


def _around_zero(draw: torch.Tensor) -> torch.Tensor:
    return draw * 2 - 1
