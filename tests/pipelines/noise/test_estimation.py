import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import convolve2d

from pipelines.noise.estimation import noise_std_grey

MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])


@pytest.mark.parametrize("std_grey", [2.0, 15.0, 40.0])
def test_white_noise_on_a_slope_has_its_standard_deviation(std_grey: float) -> None:
    down, across = np.mgrid[0:200, 0:300]
    slope = (80 + 0.2 * down + 0.1 * across)[:, :, None] + [0, 10, 20]
    noisy = slope + np.random.default_rng(3).normal(0, std_grey, slope.shape)
    assert noise_std_grey(noisy) == pytest.approx(std_grey, rel=0.02)


@settings(max_examples=25, derandomize=True, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(3, 9), st.integers(3, 9), st.just(3)), elements=st.integers(1, 255)))
def test_the_estimate_is_the_papers_sum_over_convolutions(image: np.ndarray) -> None:
    height, width = image.shape[:2]
    sums = [np.abs(convolve2d(image[:, :, channel].astype(float), MASK, "valid")).sum() for channel in range(3)]
    expected = math.sqrt(math.pi / 2) / (6 * (width - 2) * (height - 2)) * np.mean(sums)
    assert noise_std_grey(image) == pytest.approx(expected, abs=1e-9)


def test_an_edge_along_a_side_is_not_noise() -> None:
    image = np.full((12, 12, 3), 40, np.uint8)
    image[:, 5:] = 210
    assert noise_std_grey(image) == 0


def test_padding_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(1, 256, (9, 7, 3), np.uint8)
    padded = np.pad(image, ((4, 5), (2, 1), (0, 0)))
    assert noise_std_grey(padded) == noise_std_grey(image)


@pytest.mark.parametrize("shape", [(2, 9, 3), (9, 2, 3)])
def test_too_few_pixels_give_no_estimate(shape: tuple[int, int, int]) -> None:
    assert noise_std_grey(np.full(shape, 100, np.uint8)) is None
    assert noise_std_grey(np.zeros((20, 20, 3), np.uint8)) is None
