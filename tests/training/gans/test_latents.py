import numpy as np
import pytest
import torch
from small_gans import stripes

from pipelines.errors import SettingsError
from training.gans.latents import LATENTS, Gaussian, Latent, Source
from training.gans.latents.image_to_image import ImageToImage
from training.gans.latents.noise_image import NoiseImage
from training.gans.latents.uniform import Uniform

IMAGES = torch.rand(400, 3, 8, 8, generator=torch.Generator().manual_seed(9)) * 2 - 1


def drawn(latent: Latent, seed: int = 0) -> torch.Tensor:
    return latent.draw(400, 8, torch.Generator().manual_seed(seed), Source(IMAGES, stripes))


@pytest.mark.parametrize("kind", LATENTS)
def test_the_same_generator_draws_the_same_and_the_shape_is_what_is_promised(kind: str) -> None:
    latent = LATENTS[kind]()
    first = drawn(latent)
    assert torch.equal(first, drawn(latent))
    assert first.shape == (400, *latent.shape(8))
    assert first.dtype == torch.float32
    if not latent.from_images:
        assert not torch.equal(first, drawn(latent, seed=1))


def test_their_distributions() -> None:
    normal, uniform = drawn(Gaussian(size=50)), drawn(Uniform(size=50))
    assert (normal.mean().item(), normal.std().item()) == pytest.approx((0, 1), abs=0.03)
    assert (uniform.mean().item(), uniform.std().item()) == pytest.approx((0, 3**-0.5), abs=0.02)
    assert -1 <= uniform.min() < -0.99 < 0.99 < uniform.max() < 1


def test_a_noise_image_is_what_it_is_given_on_the_scale_of_generators() -> None:
    asked = []

    def flat(noise: str, level: str, size_px: int, count: int, random: np.random.Generator) -> np.ndarray:
        asked.append((noise, level, size_px, count))
        return np.full((count, size_px, size_px, 3), [0, 128, 255], np.uint8)

    latent = NoiseImage(noise="periodic", level="avg")
    images = latent.draw(2, 8, torch.Generator().manual_seed(0), Source(noise_images=flat))
    assert asked == [("periodic", "avg", 8, 2)]
    assert images.shape == (2, 3, 8, 8)
    assert images[1, :, 4, 4].tolist() == pytest.approx([-1, 256 / 255 - 1, 1], abs=1e-6)


def test_the_images_of_image_to_image_are_those_that_are_given() -> None:
    assert torch.equal(drawn(ImageToImage()), IMAGES)


def test_what_is_missing_is_named() -> None:
    draws = torch.Generator()
    with pytest.raises(SettingsError, match=r"noise_image: .* pass noise_images"):
        NoiseImage().draw(2, 8, draws, Source())
    with pytest.raises(SettingsError, match=r"image_to_image: needs 2 images .* got 0"):
        ImageToImage().draw(2, 8, draws, Source())
    with pytest.raises(SettingsError, match=r"needs 2 images .* got 400"):
        ImageToImage().draw(2, 8, draws, Source(IMAGES))
