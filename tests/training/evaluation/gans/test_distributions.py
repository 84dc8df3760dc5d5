import distribution_twins
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.gans.distributions import (
    agreement,
    frechet_distance,
    inception_score,
    kernel_distance,
    nearest,
)

Floats = NDArray[np.float64]


def features(count: int, seed: int, dimensions: int = 8, mean: float = 0.0, sd: float = 1.0) -> Floats:
    return np.random.default_rng(seed).normal(mean, sd, (count, dimensions))


def with_moments(count: int, mean: Floats, covariance: Floats, seed: int) -> Floats:
    """Features whose sample mean and covariance are exactly these."""
    drawn = features(count, seed, len(mean))
    white = (drawn - drawn.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(drawn, rowvar=False))).T
    return mean + white @ np.linalg.cholesky(covariance).T


def test_the_frechet_distance_of_gaussians_is_the_closed_form_where_covariances_commute() -> None:
    turn = np.linalg.qr(features(6, 0, 6))[0]
    sds, sds_other = np.arange(1.0, 7), np.array([2.0, 0.5, 3, 1, 1, 8])
    mean, mean_other = np.zeros(6), np.arange(6.0)
    one = with_moments(50, mean, turn @ np.diag(sds**2) @ turn.T, 1)
    other = with_moments(70, mean_other, turn @ np.diag(sds_other**2) @ turn.T, 2)
    expected = np.sum(mean_other**2) + np.sum((sds - sds_other) ** 2)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dimensions", [1, 3, 40])
def test_frechet_distance_is_torch_fidelitys(dimensions: int) -> None:
    one = features(200, 0, dimensions, sd=2.0) @ features(dimensions, 1, dimensions)
    other = features(300, 2, dimensions, mean=0.5)
    if dimensions == 1:  # torch-fidelity has no covariance of one feature
        expected = (one.mean() - other.mean()) ** 2 + (one.std(ddof=1) - other.std(ddof=1)) ** 2
    else:
        statistics = [fid_features_to_statistics(torch.from_numpy(values)) for values in (one, other)]
        expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(other, one) == pytest.approx(expected, rel=1e-8)


def test_features_that_are_always_zero_keep_the_frechet_distance_finite() -> None:
    dead = np.concatenate([features(500, 0, 20), np.zeros((500, 20))], axis=1)
    assert frechet_distance(dead, dead) == pytest.approx(0, abs=1e-9)
    shifted = dead + np.eye(40)[39] * 3
    assert frechet_distance(dead, shifted) == pytest.approx(9, abs=1e-9)


def test_frechet_distance_is_refused_where_a_covariance_has_not_full_rank() -> None:
    frechet_distance(features(9, 0), features(9, 1))
    with pytest.raises(EvaluationError, match="8 images are too few for features of 8 dimensions; use KID"):
        frechet_distance(features(8, 0), features(100, 1))
    with pytest.raises(EvaluationError, match="8 images are too few"):
        frechet_distance(features(100, 0), features(8, 1))


@given(n=st.integers(2, 12), m=st.integers(2, 12), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_kernel_distance_of_all_images_is_that_of_a_plain_sum(n: int, m: int, seed: int) -> None:
    one, other = features(n, seed, 3), features(m, seed + 1, 3, mean=0.5)
    size = min(n, m)
    found = kernel_distance(one[:size], other[:size], np.random.default_rng(seed), subsets=2)
    assert found.mean == pytest.approx(distribution_twins.discrepancy(one[:size], other[:size]), rel=1e-9, abs=1e-9)
    assert found.sd == pytest.approx(0, abs=1e-9)
    assert found.size == size


def test_kernel_distance_of_subsets_agrees_with_torch_fidelitys() -> None:
    one, other = features(400, 0, 16), features(500, 1, 16, mean=0.3)
    expected = kid_features_to_metric(
        torch.from_numpy(one), torch.from_numpy(other), kid_subsets=200, kid_subset_size=100, verbose=False
    )
    found = kernel_distance(one, other, np.random.default_rng(3), subsets=200, subset_size=100)
    error = expected["kernel_inception_distance_std"] / np.sqrt(200)
    assert found.mean == pytest.approx(expected["kernel_inception_distance_mean"], abs=4 * np.sqrt(2) * error)
    assert found.sd == pytest.approx(expected["kernel_inception_distance_std"], rel=0.2)
    again = kernel_distance(one, other, np.random.default_rng(3), subsets=200, subset_size=100)
    assert again == found


def test_kernel_distance_has_a_value_below_the_features_dimension_and_takes_what_images_there_are() -> None:
    found = kernel_distance(features(5, 0, 64), features(200, 1, 64), np.random.default_rng(0))
    assert found.size == 5
    assert np.isfinite(found.mean)
    with pytest.raises(EvaluationError, match="two images of each"):
        kernel_distance(features(1, 0), features(9, 1), np.random.default_rng(0))


def test_kernel_distance_of_samples_of_one_distribution_is_zero_on_average() -> None:
    found = [
        kernel_distance(features(60, seed), features(60, seed + 1000), np.random.default_rng(0), 1, 60).mean
        for seed in range(200)
    ]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(200)


def test_inception_score_is_torch_fidelitys_in_one_split_and_agrees_in_ten() -> None:
    logits = features(500, 0, 12, sd=3.0)
    probabilities = torch.from_numpy(logits).softmax(dim=1).numpy()
    whole = isc_features_to_metric(torch.from_numpy(logits), splits=1, shuffle=False)
    assert inception_score(probabilities, np.random.default_rng(0), 1).mean == pytest.approx(
        whole["inception_score_mean"], rel=1e-9
    )
    expected = isc_features_to_metric(torch.from_numpy(logits), splits=10, shuffle=True, rng_seed=5)
    found = inception_score(probabilities, np.random.default_rng(0), 10)
    assert found.mean == pytest.approx(expected["inception_score_mean"], rel=0.03)
    assert found.sd == pytest.approx(expected["inception_score_std"], rel=0.8)


def test_inception_score_is_the_number_of_classes_at_best_and_one_at_worst() -> None:
    sure = np.eye(7)[np.arange(700) % 7]
    assert inception_score(sure, np.random.default_rng(0), 1).mean == pytest.approx(7)
    assert inception_score(np.full((70, 7), 1 / 7), np.random.default_rng(0)).mean == pytest.approx(1)
    assert inception_score(np.eye(7)[np.zeros(70, int)], np.random.default_rng(0)).mean == pytest.approx(1)
    with pytest.raises(EvaluationError, match="5 images cannot be divided into 10 splits"):
        inception_score(sure[:5], np.random.default_rng(0))


@given(n=st.integers(4, 14), m=st.integers(4, 14), k=st.integers(1, 3), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_precision_recall_density_and_coverage_are_those_of_plain_loops(n: int, m: int, k: int, seed: int) -> None:
    generated, real = features(n, seed, 2), features(m, seed + 1, 2, mean=0.5)
    assert tuple(agreement(generated, real, k)) == pytest.approx(distribution_twins.agreement(generated, real, k))


def test_precision_and_recall_are_torch_fidelitys() -> None:
    generated, real = features(900, 0, 5), features(700, 1, 5, mean=0.8)
    expected = prc_features_to_metric(
        torch.from_numpy(generated), torch.from_numpy(real), prc_neighborhood=3, save_cpu_ram=False, verbose=False
    )
    found = agreement(generated, real, 3)
    assert found.precision == pytest.approx(expected["precision"], abs=1e-6)
    assert found.recall == pytest.approx(expected["recall"], abs=1e-6)


def test_a_generator_of_one_mode_is_precise_and_recalls_little() -> None:
    modes = np.concatenate([features(300, 0), features(300, 1, mean=50)])
    found = agreement(features(300, 2), modes)
    assert found.precision > 0.8
    assert found.recall < 0.5
    assert found.coverage < 0.5
    far = agreement(features(300, 2, mean=-100), modes)
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)


def test_neighbours_are_the_nearest_and_never_the_image_itself() -> None:
    images = np.array([[0.0], [1], [3], [7]])
    distances, rows = nearest(images, None, 2)
    assert distances.tolist() == [[1, 3], [1, 2], [2, 3], [4, 6]]
    assert rows.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    distances, rows = nearest(np.array([[3.0]]), images, 1)
    assert (distances.tolist(), rows.tolist()) == ([[0]], [[2]])
    with pytest.raises(EvaluationError, match="4 neighbours were requested, but there are 3 other images"):
        nearest(images, None, 4)


def test_features_that_are_not_finite_are_refused() -> None:
    broken = features(20, 0)
    broken[3, 2] = np.nan
    for measure in (frechet_distance, agreement):
        with pytest.raises(EvaluationError, match="features are not finite"):
            measure(broken, features(20, 1))
    with pytest.raises(ValueError, match="expected features"):
        frechet_distance(features(20, 0, 3), features(20, 0, 4))
