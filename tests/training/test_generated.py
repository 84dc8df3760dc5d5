from pathlib import Path

import numpy as np
import pytest
import torch
import untrained_gans

from pipelines.errors import SettingsError
from pipelines.schema import SourceImages
from training.generated import ShippedGan
from training.trained_gan import TrainedGan


def source(count: int) -> SourceImages:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return SourceImages([f"train/{row:05d}" for row in range(count)], np.arange(count, dtype=np.int32) % 43, pixels)


def shipped(folder: Path, gan: TrainedGan, seed: int = 0) -> ShippedGan:
    gan.write(folder / "gan.pt")
    return ShippedGan("gan.pt", "gan-mine", seed, 16, lambda *_: np.zeros(0, np.uint8))


def test_the_images_are_the_generators_for_the_labels(tmp_path: Path) -> None:
    gan, images = untrained_gans.gan(), source(16)
    (made,) = shipped(tmp_path, gan)(tmp_path, torch.get_num_threads(), None)(images)
    assert made.variant == "gan-mine"
    assert made.pixels.shape == (16, 8, 8, 3)
    assert made.pixels.dtype == np.uint8
    draws = {seed: shipped(tmp_path, gan, seed)(tmp_path, torch.get_num_threads(), None) for seed in (0, 1)}
    np.testing.assert_array_equal(draws[0](images)[0].pixels, made.pixels)
    assert not np.array_equal(draws[1](images)[0].pixels, made.pixels)


def test_a_batch_is_drawn_by_its_first_images_id_alone(tmp_path: Path) -> None:
    step = shipped(tmp_path, untrained_gans.gan())(tmp_path, torch.get_num_threads(), None)
    images = source(40)
    (whole,) = step(images)
    rest = SourceImages(images.image_ids[16:], images.labels[16:], images.pixels[16:])
    np.testing.assert_array_equal(step(rest)[0].pixels, whole.pixels[16:])
    assert len({image.tobytes() for image in whole.pixels}) == 40


def test_images_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    gan = untrained_gans.gan()
    with torch.no_grad():
        next(gan.generator.parameters()).fill_(torch.nan)
    with pytest.raises(SettingsError, match="the generator makes images that are not finite"):
        shipped(tmp_path, gan)(tmp_path, torch.get_num_threads(), None)(source(4))
