from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import SettingsError
from pipelines.noise.gaussian import Gaussian
from pipelines.render.noise_images import NoiseLevels

KINDS = ("gaussian", "periodic", "salt_pepper")


@pytest.fixture(scope="module")
def levels(repository: Path) -> NoiseLevels:
    return NoiseLevels.read(repository / "conf" / "noise" / "paper.yaml")


@pytest.mark.parametrize("noise", KINDS)
@pytest.mark.parametrize("level", ["min", "avg", "max"])
def test_the_papers_nine_noises_on_mid_grey(levels: NoiseLevels, noise: str, level: str) -> None:
    images = levels(noise, level, 28, 40, np.random.default_rng(0))
    assert images.shape == (40, 28, 28, 3)
    assert images.dtype == np.uint8
    assert np.array_equal(images, levels(noise, level, 28, 40, np.random.default_rng(0)))
    assert (images != 128).any()
    assert abs(images.mean() - 128) < 15


def test_each_image_has_its_own_draw_of_the_noise_on_grey(levels: NoiseLevels) -> None:
    images = levels("gaussian", "avg", 8, 2, np.random.default_rng(5))
    random, grey = np.random.default_rng(5), np.full((8, 8, 3), 128, np.uint8)
    for image in images:
        assert np.array_equal(image, Gaussian(std_grey=25.0)(grey, random))
    assert not np.array_equal(images[0], images[1])


def test_an_unknown_noise_is_named(levels: NoiseLevels) -> None:
    with pytest.raises(SettingsError, match="gaussian-huge: unknown noise; there are: gaussian-min, "):
        levels("gaussian", "huge", 8, 1, np.random.default_rng(0))
