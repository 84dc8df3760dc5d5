"""The settings of the load of units."""

from typing import Annotated

from pydantic import Field

from pipelines.settings import Settings

__all__ = ["UnitLoad"]

Share = Annotated[float, Field(gt=0, lt=1)]


class UnitLoad(Settings):
    """Measured on the first `images` clean images in the order of a hash of their ids; 0: not at all. `shares` of the
    units of a layer are left out, those of the largest load, and for comparison `draws` times as many at random."""

    images: int = Field(default=0, ge=0)
    shares: tuple[Share, ...] = (0.1, 0.25)
    draws: int = Field(default=3, ge=1)
    seed: int = Field(default=0, ge=0)
