from typing import ClassVar

import torch

from pipelines.errors import SettingsError
from training.gans.latents.contract import Latent, Source


class ImageToImage(Latent):
    """The input is a real image (proposal, Figure 2)."""

    kind: ClassVar[str] = "image_to_image"
    is_image: ClassVar[bool] = True
    from_images: ClassVar[bool] = True

    def shape(self, size_px: int) -> tuple[int, ...]:
        return (3, size_px, size_px)

    def draw(self, count: int, size_px: int, draws: torch.Generator, source: Source) -> torch.Tensor:
        found = 0 if source.images is None else len(source.images)
        if source.images is None or found != count:
            raise SettingsError(f"latent=image_to_image: needs {count} images as input of the generator, got {found}")
        return source.images
