"""Images that contain only noise, as inputs of generators instead of random numbers."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainValidator, model_validator

from pipelines.errors import SettingsError
from pipelines.noise import Noise
from pipelines.render.noisy_datasets import levels_of
from pipelines.settings import Settings, load

__all__ = ["NoiseLevels"]

MID_GREY = 128


class NoiseLevels(Settings):
    """The noises of a file in conf/noise/ by variant name; calling the object draws images."""

    noises: Annotated[dict[str, Noise], PlainValidator(levels_of)]

    @model_validator(mode="before")
    @classmethod
    def _of_a_file(cls, given: Any) -> Any:
        return {"noises": given}

    @classmethod
    def read(cls, path: Path) -> "NoiseLevels":
        """Reads a file of conf/noise/. Raises SettingsError."""
        return load(cls, path)

    def __call__(
        self, noise: str, level: str, size_px: int, count: int, random: np.random.Generator
    ) -> NDArray[np.uint8]:
        """(count, size_px, size_px, 3): the noise on mid-grey images. Raises SettingsError."""
        name = f"{noise}-{level}"
        if name not in self.noises:
            raise SettingsError(f"{name}: unknown noise; there are: {', '.join(self.noises)}")
        grey = np.full((size_px, size_px, 3), MID_GREY, np.uint8)
        images = np.empty((count, size_px, size_px, 3), np.uint8)
        for image in images:
            image[:] = self.noises[name](grey, random)
        return images
