"""The settings of saliency maps."""

from pydantic import Field

from pipelines.settings import Settings

__all__ = ["Saliency"]


class Saliency(Settings):
    """`images` right before the noise and wrong after it, and as many that are still right, for each variant; 0: no
    maps. `steps` of integrated gradients."""

    images: int = Field(default=0, ge=0)
    steps: int = Field(default=64, ge=1)
