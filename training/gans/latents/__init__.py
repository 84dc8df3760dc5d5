"""The inputs of generators. To add one, add a file here and a line in LATENTS."""

from training.gans.latents.contract import Latent, NoiseImages, Source
from training.gans.latents.gaussian import Gaussian
from training.gans.latents.image_to_image import ImageToImage
from training.gans.latents.noise_image import NoiseImage
from training.gans.latents.uniform import Uniform

__all__ = ["LATENTS", "Gaussian", "ImageToImage", "Latent", "NoiseImages", "Source"]

LATENTS: dict[str, type[Latent]] = {
    "gaussian": Gaussian,
    "uniform": Uniform,
    "noise_image": NoiseImage,
    "image_to_image": ImageToImage,
}
