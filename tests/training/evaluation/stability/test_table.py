"""Means, medians and correlations by class, against NumPy and SciPy."""

import functools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.intervals.proportions import Units
from training.evaluation.stability.correlation import rank_correlation
from training.evaluation.stability.figures import distances_by_class, slopes_and_distances
from training.evaluation.stability.measuring import Measured
from training.evaluation.stability.table import image_rows, measured_rows, said, shown, tracked

SUBJECT = {
    "model": "m",
    "run": None,
    "dataset_digest": "d",
    "size_px": 8,
    "noise": "none",
    "level": "none",
    "split": "test",
}
N = 40


@functools.cache
def rows_of_single_images() -> list[dict[str, Any]]:
    return measured_rows(measured(np.array([f"{number}" for number in range(N)])), SUBJECT)


def measured(groups: NDArray[np.str_] | None = None) -> Measured:
    """Image 0 is predicted wrongly, image 1 was kept, image 2 is black; even images are of class 0."""
    random = np.random.default_rng(0)
    labels = np.arange(N) % 2
    predicted = np.where(np.arange(N) == 0, 1 - labels, labels)
    found = Predictions(
        np.array([f"test/{number:02}" for number in range(N)]), labels, predicted,
        np.full((N, 2), 0.5, np.float32), "d", class_names=("masked", "unmasked"), groups=groups,
    )  # fmt: skip
    slope, norm = random.uniform(1, 5, N), random.uniform(5, 10, N)
    norm[2] = 0
    distance = 1 / slope + labels
    distance[:2] = np.nan
    return Measured(found, norm, distance, 1 - labels, np.ones(N), slope, 2 * slope, 1 / slope)


def by_metric(rows: list[dict[str, Any]], label: int | None) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in rows if row.get("label") == label}


def test_the_numbers_by_class_are_those_of_numpy() -> None:
    of = measured(np.array([f"face {number // 4}" for number in range(N)]))
    rows = measured_rows(of, SUBJECT)
    for label in (0, 1):
        found = by_metric(rows, label)
        own = [k for k in range(2, N) if k % 2 == label]
        not_black = [k for k in own if k != 2]
        assert found["distance_l2"]["value"] == pytest.approx(np.mean(of.distance[own]))
        assert found["distance_l2_median"]["value"] == pytest.approx(np.median(of.distance[own]))
        assert found["slope_in_ball"]["value"] == pytest.approx(np.mean(2 * of.slope[own]))
        ratios = of.distance[not_black] / of.norm[not_black]
        assert found["distance_relative"]["value"] == pytest.approx(np.mean(ratios))
        assert found["snr_db_median"]["value"] == pytest.approx(np.median(-20 * np.log10(ratios)))
        assert found["distance_l2"]["images"] == len(own)
        assert found["distance_l2"]["unit"] == "group"
        assert found["distance_l2"]["low"] < found["distance_l2"]["value"] < found["distance_l2"]["high"]
    assert [by_metric(rows, 0)[name]["value"] for name in ("wrong", "kept", "black")] == [1, 0, 1]
    assert [by_metric(rows, 1)[name]["value"] for name in ("wrong", "kept", "black")] == [0, 1, 0]
    everything = by_metric(rows, None)
    assert everything["rank_correlation/slope"]["value"] == pytest.approx(
        spearmanr(of.slope[2:], of.distance[2:]).statistic
    )
    quarters = [everything[f"distance_l2_median/slope_quarter_{number}"] for number in (1, 2, 3, 4)]
    assert sum(row["images"] for row in quarters) == N - 2
    steep = np.argsort(of.slope[2:])[-quarters[3]["images"] :] + 2
    assert quarters[3]["value"] == pytest.approx(np.median(of.distance[steep]))


def test_what_is_left_out_is_said_and_the_least_stable_class_comes_first() -> None:
    of, rows = measured(), rows_of_single_images()
    sentences = said(of, rows)
    assert sentences[:3] == [
        "1 of 40 images are predicted wrongly already; they have no distance",
        "1 of 40 images have no distance, since DeepFool found no perturbation; allow it more steps",
        "1 of 40 images are black, and have no relative distance",
    ]
    assert sentences[3].startswith("rank correlation with the distance: first_order_l2 ")
    assert sentences[-1] == "Intervals count 38 images, each of an object of its own."
    table = shown(rows)
    assert list(table.columns[0].cells) == ["all", "masked", "unmasked"]
    assert tracked(rows)["stability/wrong/clean"] == 1
    on_noise = [{**row, "noise": "gaussian", "level": "max", "split": "validation"} for row in rows]
    assert tracked(on_noise)["validation/stability/wrong/gaussian-max"] == 1
    images = image_rows(of).to_pylist()
    assert (images[0]["distance_l2"], images[0]["becomes"], images[2]["distance_relative"]) == (None, None, None)
    assert images[3]["becomes"] == 0 and images[3]["distance_l2"] == pytest.approx(of.distance[3])


def test_the_figures_are_of_these_numbers() -> None:
    of, rows = measured(), rows_of_single_images()
    (axis,) = distances_by_class(rows, "t").axes
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["unmasked", "masked"], "the first is at the bottom"
    left, right = slopes_and_distances(of, (0.5, None), "t").axes
    assert left.get_title() == "rank correlation 0.50" and right.get_title() == ""
    assert sum(len(points.get_offsets()) for points in left.collections) == N - 2


def test_a_rank_correlation_is_scipys_and_its_interval_counts_groups() -> None:
    random = np.random.default_rng(1)
    one = random.normal(size=30)
    other = one + random.normal(size=30)
    single = rank_correlation(Units("image"), one, other)
    assert single.value == pytest.approx(spearmanr(one, other).statistic)
    assert single.low is not None and single.high is not None and single.value is not None
    assert single.low < single.value < single.high
    copies = Units.of_groups(np.repeat([f"g{number}" for number in range(30)], 6))
    alike = rank_correlation(copies, np.repeat(one, 6), np.repeat(other, 6))
    as_images = rank_correlation(Units("image"), np.repeat(one, 6), np.repeat(other, 6))
    assert alike.low is not None and alike.high is not None
    assert as_images.low is not None and as_images.high is not None
    assert alike.high - alike.low == pytest.approx(single.high - single.low, rel=0.25)
    assert as_images.high - as_images.low < 0.6 * (alike.high - alike.low)


@pytest.mark.parametrize(
    ("one", "value"), [([1.0, 2.0, 3.0, 9.0], 1.0), ([4.0, 3.0, 2.0, 1.0], -1.0), ([1.0, 1.0, 1.0, 1.0], None)]
)
def test_rank_correlations_that_are_known(one: list[float], value: float | None) -> None:
    found = rank_correlation(Units("image"), np.array(one), np.array([1.0, 2.0, 3.0, 4.0]))
    assert found.value == (None if value is None else pytest.approx(value))


def test_two_images_have_no_rank_correlation() -> None:
    assert rank_correlation(Units("image"), np.array([1.0, 2.0]), np.array([1.0, 2.0])).value is None
