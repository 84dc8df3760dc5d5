import math

import distribution_twins
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation.gans.collapse import class_entropy, classes_missed, nearer_to_training, smallest_difference


def test_a_class_that_is_much_rarer_than_in_the_data_counts_as_missing() -> None:
    real = np.repeat([0, 1, 2, 5], [50, 30, 10, 10])
    assert classes_missed(real, real, 1.0) == []
    predicted = np.repeat([0, 1, 2, 4], [93, 4, 2, 1])
    assert classes_missed(predicted, real, 0.1) == [5]
    assert classes_missed(predicted, real, 0.15) == [1, 5]
    assert classes_missed(np.zeros(10, int), real, 0.1) == [1, 2, 5]


def test_class_entropy_is_zero_for_one_class_and_log_n_for_n_equally_frequent_ones() -> None:
    assert class_entropy(np.full(10, 3)) == 0
    assert class_entropy(np.arange(43).repeat(5)) == pytest.approx(math.log(43))


@given(n=st.integers(1, 6), k=st.integers(1, 3), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_the_smallest_difference_is_that_of_a_plain_loop(n: int, k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    images, others = (random.integers(0, 256, (count, 3, 2, 2), np.uint8) for count in (n, 5))
    rows = random.integers(0, 5, (n, k))
    found = smallest_difference(images, others, rows)
    expected = [distribution_twins.smallest_difference(images[i], [others[row] for row in rows[i]]) for i in range(n)]
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_difference_is_relative_to_the_contrast_and_infinite_for_uniform_images() -> None:
    stripes = np.zeros((3, 4, 4), np.uint8)
    stripes[:, ::2] = 10
    dark, flat = stripes // 5, np.full((3, 4, 4), 7, np.uint8)
    images = np.stack([stripes, dark, flat, 10 - stripes])
    found = smallest_difference(images, images, np.array([[3], [3], [0], [0]]))
    assert found[[0, 3]] == pytest.approx(2)
    assert found[1] > 2
    assert found[2] == np.inf
    assert smallest_difference(images, images, np.array([[1, 0], [0, 1], [0, 2], [3, 3]])).tolist() == [0] * 4


def test_copies_are_nearer_to_training_images_but_similar_images_are_not() -> None:
    distances = np.random.default_rng(0).random(500)
    assert nearer_to_training(np.zeros(100), distances) == 1
    assert nearer_to_training(np.full(100, 2.0), distances) == 0
    assert nearer_to_training(distances, distances) == 0.5
    expected = np.mean([[(a < b) + (a == b) / 2 for b in (1, 2, 3)] for a in (2, 2, 4)])
    assert nearer_to_training(np.array([2.0, 2, 4]), np.array([1.0, 2, 3])) == pytest.approx(expected)
