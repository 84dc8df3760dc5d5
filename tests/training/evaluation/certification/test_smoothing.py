from dataclasses import replace

import numpy as np
import pytest
import torch
from attacked_networks import CLASSES, disc_examples, small_cnn
from cohen_twin import sample

from training.evaluation.certification.smoothing import CHUNK, MeanOverNoise, Smoothed, noise_chunk

SMOOTHED = Smoothed(small_cnn(), 0.25, CLASSES, seed=3, batch_size=CHUNK)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return disc_examples(1).images[0]


@pytest.mark.parametrize("batch_size", [1, 2 * CHUNK, 10 * CHUNK])
def test_votes_do_not_depend_on_the_batches(image: torch.Tensor, batch_size: int) -> None:
    once = SMOOTHED.votes(image, "a", "select", 450)
    assert once.sum() == 450
    assert np.array_equal(replace(SMOOTHED, batch_size=batch_size).votes(image, "a", "select", 450), once)


def test_fewer_samples_are_the_first_ones_of_more(image: torch.Tensor) -> None:
    predicted = sample(small_cnn(), image, "a", "select", 250, 0.25, 3)
    for samples in (1, 99, 100, 101, 250):
        counted = np.bincount(predicted[:samples], minlength=CLASSES)
        assert np.array_equal(SMOOTHED.votes(image, "a", "select", samples), counted)


def test_every_image_purpose_and_seed_has_draws_of_its_own() -> None:
    shape = torch.Size((3, 4, 4))
    keys = [(0, "select", "a", 0), (1, "select", "a", 0), (0, "estimate", "a", 0), (0, "select", "b", 0)]
    drawn = [noise_chunk(*key, shape) for key in [*keys, (0, "select", "a", 1)]]
    correlations = np.corrcoef(torch.stack(drawn).flatten(1).numpy())
    assert np.abs(correlations - np.eye(len(drawn))).max() < 0.1
    assert torch.equal(drawn[0], noise_chunk(*keys[0], shape))
    assert drawn[0].mean().abs() < 0.05 and (drawn[0].std() - 1).abs() < 0.05


def test_the_mean_over_noise_is_that_of_probabilities() -> None:
    images = disc_examples(3).images
    target = MeanOverNoise(SMOOTHED, 5, images)
    noise = 0.25 * noise_chunk(3, "attack", "", 0, images.shape[1:])[:5]
    with torch.no_grad():
        each = torch.stack([small_cnn()((images + one).clamp(0, 1)).softmax(1) for one in noise])
        assert torch.allclose(target(images).exp(), each.mean(0), atol=1e-6)
