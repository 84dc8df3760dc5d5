from typing import ClassVar, Literal

import numpy as np
import torch

from pipelines.errors import SettingsError
from training.gans.latents.contract import Latent, Source


class NoiseImage(Latent):
    """One of the paper's nine noises on a mid-grey image (proposal, experiment 4: "more than just random input")."""

    kind: ClassVar[str] = "noise_image"
    is_image: ClassVar[bool] = True
    noise: Literal["gaussian", "periodic", "salt_pepper"] = "gaussian"
    level: Literal["min", "avg", "max"] = "max"

    def shape(self, size_px: int) -> tuple[int, ...]:
        return (3, size_px, size_px)

    def draw(self, count: int, size_px: int, draws: torch.Generator, source: Source) -> torch.Tensor:
        if source.noise_images is None:
            raise SettingsError("latent=noise_image: needs noise images; pass noise_images")
        seed = int(torch.randint(2**63 - 1, (), generator=draws))
        random = np.random.Generator(np.random.PCG64(seed))
        pixels = source.noise_images(self.noise, self.level, size_px, count, random)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1)
