"""Curves, success and perturbations against plain loops over hand-made predictions."""

import math
import statistics
from collections.abc import Sequence

import metric_twins
import numpy as np
import pytest
from attacked_predictions import predicted
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation.classifiers.metrics import Measurement
from training.evaluation.classifiers.predicting import EvaluationError, Predictions
from training.evaluation.robustness.curves import find_curves, measure_robustness

Rights = list[bool]


def test_one_pixel_attacks_are_a_curve_over_the_number_of_pixels() -> None:
    """Each search has chances of its own, so three pixels may fail where one was enough."""
    rights = {5: [False, False, True, True], 1: [False, True, True, True], 3: [True, False, True, True]}
    measured = {
        ("cnn", f"one_pixel_pixels_{pixels}"): predicted(right, f"one_pixel_pixels_{pixels}", pixels=pixels)
        for pixels, right in rights.items()
    }
    measured["cnn", "clean"] = predicted([True] * 4, "clean")
    transferred = predicted([True] * 4, "one_pixel_pixels_3", pixels=3, transfer=True)
    measured["cnn", "one_pixel_pixels_3_transfer_0f3a5c7e9b1d"] = transferred
    curve, transfer = find_curves(measured)
    assert (curve.noise, curve.kind, transfer.noise) == ("one_pixel", "pixels", "one_pixel_transfer_0f3a5c7e9b1d")
    found = [
        (point.strength and point.strength.value, *values(point.accuracy, point.cumulative)) for point in curve.points
    ]
    assert found == [(None, 1.0, 1.0), (1, 0.75, 0.75), (3, 0.75, 0.5), (5, 0.5, 0.5)]
    three = by_name(measure_robustness(measured)["cnn", "one_pixel_pixels_3"])
    assert (three["success"].value, three["accuracy_cumulative"].value) == (0.25, 0.5)


@pytest.mark.parametrize(
    ("shown", "variant", "is_robust"),
    [
        ("ensemble-eps0.03137", "ensemble-eps0.03137/attacked=0f3a5c7e9b1d", True),
        ("ensemble_norm_l2_on_gaussian_max-snr33", "ensemble_norm_l2_on_gaussian_max-snr33", True),
        ("ensemble_transfer_0f3a5c7e9b1d-eps0.03137", "ensemble-eps0.03137/attacked=0f3a5c7e9b1d", False),
        ("apgd-eps0.03137", "apgd-eps0.03137", False),
    ],
)
def test_accuracy_on_the_models_own_ensemble_is_robust_accuracy(shown: str, variant: str, is_robust: bool) -> None:
    right = [True, False, False, True, True]
    predictions = predicted(right, variant, transfer="transfer" in shown)
    assert predictions.shown.variant == shown
    found = by_name(measure_robustness({("cnn", shown): predictions})["cnn", shown])
    assert ("robust_accuracy" in found) == is_robust
    if is_robust:
        assert found["robust_accuracy"].value == 3 / 5
        assert found["robust_accuracy"].ends == pytest.approx(metric_twins.wilson(3, 5), abs=1e-12)


def by_name(measured: Sequence[Measurement]) -> dict[str, Measurement]:
    return {one.metric: one for one in measured}


def values(*measured: Measurement) -> list[float | None]:
    return [one.value for one in measured]


@st.composite
def some_rights(draw: st.DrawFn) -> dict[str, Rights]:
    images = draw(st.integers(1, 12))
    rights = st.lists(st.booleans(), min_size=images, max_size=images)
    return {name: draw(rights) for name in ("fgsm-snr33", "clean", "fgsm-snr50", "fgsm-snr9", "fgsm-snr45")}


@given(rights=some_rights())
@settings(max_examples=30, deadline=None)
def test_the_cumulative_curve_counts_an_image_as_broken_from_the_first_failure_on(rights: dict[str, Rights]) -> None:
    (curve,) = find_curves({("cnn", name): predicted(right, name) for name, right in rights.items()})
    weak_to_strong = ["clean", "fgsm-snr50", "fgsm-snr45", "fgsm-snr33", "fgsm-snr9"]
    assert [point.variant for point in curve.points] == weak_to_strong
    images = len(rights["clean"])
    for number, point in enumerate(curve.points):
        plain = sum(rights[point.variant])
        unbroken = sum(all(rights[name][row] for name in weak_to_strong[: number + 1]) for row in range(images))
        for measured, count in ((point.accuracy, plain), (point.cumulative, unbroken)):
            assert measured.value == count / images
            assert measured.ends == pytest.approx(metric_twins.wilson(count, images), abs=1e-12)
    values = [point.cumulative.value for point in curve.points]
    assert values == sorted(values, reverse=True)


def test_a_curve_has_one_model_one_attack_and_one_kind_of_strength() -> None:
    right = [True, False]
    measured = {
        (model, name): predicted(right, name)
        for model in ("a", "b")
        for name in ("clean", "gaussian-max", "deepfool", "fgsm-snr33", "fgsm-eps0.1", "pgd-eps0.1")
    }
    measured["a", "fgsm_transfer_0f3a5c7e9b1d-snr33"] = predicted(right, "fgsm-snr33", transfer=True)
    found = [
        (curve.model, curve.noise, curve.kind, curve.transfer, len(curve.points)) for curve in find_curves(measured)
    ]
    assert found == [
        ("a", "fgsm", "snr", False, 2),
        ("a", "fgsm", "eps", False, 2),
        ("a", "pgd", "eps", False, 2),
        ("b", "fgsm", "snr", False, 2),
        ("b", "fgsm", "eps", False, 2),
        ("b", "pgd", "eps", False, 2),
        ("a", "fgsm_transfer_0f3a5c7e9b1d", "snr", True, 2),
    ]


def test_noisy_images_that_were_attacked_start_at_the_noisy_ones() -> None:
    right = [True, True, False]
    measured = {("cnn", name): predicted(right, name) for name in ("clean", "gaussian-max")}
    name = "fgsm_on_gaussian_max-snr33"
    measured["cnn", name] = predicted(right, name, source="gaussian-max")
    assert [point.variant for point in find_curves(measured)[0].points] == ["gaussian-max", name]
    del measured["cnn", "gaussian-max"]
    assert [point.variant for point in find_curves(measured)[0].points] == [name]
    assert [one.metric for one in measure_robustness(measured)["cnn", name]] == ["accuracy_cumulative"]


def test_success_counts_images_that_were_right_and_perturbations_count_fooled_ones() -> None:
    before = predicted([True, True, True, True, True, False], "clean")
    infinite = float("inf")
    after = predicted(
        [False, False, False, False, True, False], "deepfool", snr_db=[40.0, 20.0, 30.0, np.nan, infinite, infinite]
    )
    found = by_name(measure_robustness({("cnn", "clean"): before, ("cnn", "deepfool"): after})["cnn", "deepfool"])
    assert set(found) == {"success", "relative_perturbation", "relative_perturbation_median"}
    assert found["success"].value == 4 / 5
    assert found["success"].ends == pytest.approx(metric_twins.wilson(4, 5), abs=1e-12)
    relative = [0.01, 0.1, 10**-1.5]  # the black one has no ratio
    mean, low, high = found["relative_perturbation"][1:4]
    assert mean == pytest.approx(statistics.mean(relative))
    half = 4.302653 * statistics.stdev(relative) / 3**0.5  # t(0.975) of 2 degrees of freedom, any statistical table
    assert (low, high) == pytest.approx((mean - half, mean + half))  # type: ignore[operator]
    assert found["relative_perturbation_median"].value == pytest.approx(statistics.median(relative))
    assert found["relative_perturbation_median"].ends == (None, None)  # three images are too few for an interval


def test_the_interval_of_the_median_is_that_of_the_order_statistics() -> None:
    snr_db = np.random.default_rng(0).uniform(20, 50, 20)
    measured = {
        ("cnn", "clean"): predicted([True] * 20, "clean"),
        ("cnn", "deepfool"): predicted([False] * 20, "deepfool", snr_db=snr_db.tolist()),
    }
    median = by_name(measure_robustness(measured)["cnn", "deepfool"])["relative_perturbation_median"]
    ordered = np.sort(10 ** (-snr_db / 20))
    below = [math.comb(20, rank) / 2**20 for rank in range(21)]  # how many of 20 draws lie below the true median
    assert sum(below[6:15]) >= 0.95 > sum(below[7:14])
    assert median.ends == pytest.approx((ordered[5], ordered[14]), rel=1e-5)


def test_the_perturbation_is_undefined_if_no_image_is_fooled() -> None:
    right = predicted([True, False], "clean")
    measured = {("cnn", "clean"): right, ("cnn", "deepfool"): predicted([True, False], "deepfool")}
    found = by_name(measure_robustness(measured)["cnn", "deepfool"])
    assert found["success"].value == 0
    assert found["relative_perturbation"].value is None
    measured = {("cnn", "clean"): predicted([False], "clean"), ("cnn", "deepfool"): predicted([False], "deepfool")}
    assert by_name(measure_robustness(measured)["cnn", "deepfool"])["success"].value is None


@given(rights=some_rights(), data=st.data())
@settings(max_examples=15, deadline=None)
def test_an_attack_on_a_subset_is_compared_with_the_same_images(rights: dict[str, Rights], data: st.DataObject) -> None:
    """Everything is as if nothing else had been shown to the model."""
    images = len(rights["clean"])
    order = data.draw(st.permutations([f"test/{row:05d}" for row in range(images)]))
    first = {"clean": images, **{name: data.draw(st.integers(1, images)) for name in rights if name != "clean"}}
    whole = {("cnn", name): predicted(right, name) for name, right in rights.items()}
    measured = {place: found.at(np.array(order[: first[place[1]]])) for place, found in whole.items()}
    shared = np.array(order[: min(first.values())])
    assert find_curves(measured) == find_curves({place: found.at(shared) for place, found in whole.items()})
    rows = measure_robustness(measured)
    for name in set(rights) - {"clean"}:
        own = np.array(order[: first[name]])
        alone = {place: found.at(own) for place, found in whole.items() if place[1] in ("clean", name)}
        assert rows["cnn", name][1:] == measure_robustness(alone)["cnn", name][1:]  # the first is the curve's


def test_variants_of_other_images_are_not_compared() -> None:
    other: Predictions = predicted([True, False], "fgsm-snr33")
    other.image_ids[1] = "test/z"
    with pytest.raises(
        EvaluationError, match="clean has images that fgsm-snr33 does not have; make both again from the same dataset"
    ):
        measure_robustness({("cnn", "clean"): predicted([True, False], "clean"), ("cnn", "fgsm-snr33"): other})
