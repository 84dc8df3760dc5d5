"""The noises. To add one, add a file here and a line in NOISES; its levels are data, in conf/noise/."""

from pipelines.noise.black_columns import BlackColumns
from pipelines.noise.black_rows import BlackRows
from pipelines.noise.blur import Blur
from pipelines.noise.contract import Draw, Image, Noise, Strength, generator
from pipelines.noise.gaussian import Gaussian
from pipelines.noise.jpeg import Jpeg
from pipelines.noise.patches import Patches
from pipelines.noise.periodic import Periodic
from pipelines.noise.random import Random
from pipelines.noise.salt_pepper import SaltPepper
from pipelines.noise.speckle import Speckle

__all__ = ["NOISES", "Draw", "Image", "Noise", "Strength", "generator"]

NOISES: dict[str, type[Noise]] = {
    "gaussian": Gaussian,
    "periodic": Periodic,
    "salt_pepper": SaltPepper,
    "random": Random,
    "patches": Patches,
    "blur": Blur,
    "black_rows": BlackRows,
    "black_columns": BlackColumns,
    "speckle": Speckle,
    "jpeg": Jpeg,
}
