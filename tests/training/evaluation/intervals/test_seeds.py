"""Intervals over seeds and groups."""

import numpy as np
import pytest

from training.evaluation.intervals.proportions import DesignEffect, Units
from training.evaluation.intervals.seeds import mean_over_seeds, over_seeds

CODES = np.repeat(np.arange(200), 30)


def test_seeds_that_agree_have_the_interval_of_a_single_network() -> None:
    share = np.random.default_rng(0).beta(3, 1, 200)
    right = np.random.default_rng(1).random(6000) < share[CODES]
    units = Units("group", CODES)
    one, three = units.proportion(right), over_seeds(units, np.stack([right] * 3))
    assert three.sd == pytest.approx(0)
    assert three.interval[3:5] == one[3:5]
    assert three.interval[:3] == pytest.approx(one[:3], abs=1e-9)


def test_seeds_that_differ_widen_the_interval() -> None:
    share = np.random.default_rng(0).beta(3, 1, 200)
    random = np.random.default_rng(1)
    same = np.stack([random.random(6000) < share[CODES] for _ in range(3)])
    differ = np.stack([random.random(6000) < share[CODES] * factor for factor in (1.0, 0.9, 0.8)])
    units = Units("group", CODES)
    widths = [found.interval.high - found.interval.low for found in (over_seeds(units, one) for one in (same, differ))]  # type: ignore[operator]
    assert widths[1] > 3 * widths[0]
    assert over_seeds(units, differ).sd == pytest.approx(np.std(differ.mean(axis=1), ddof=1))


@pytest.mark.parametrize("sd", [0.0, 0.02])
def test_the_intervals_cover_the_accuracy_of_the_recipe(sd: float) -> None:
    """400 recipes of three seeds on 100 signs: 95 %, within three standard errors; a seed moves all signs by `sd`, and
    each sign by its own amount."""
    random = np.random.default_rng(2)
    codes, covered = np.repeat(np.arange(100), 10), 0
    for _ in range(400):
        signs = 0.8 + 0.15 * (random.random(100) * 2 - 1)
        share = signs + random.normal(0, sd, (3, 1)) + 0.04 * random.normal(size=(3, 100))
        right = random.random((3, 1000)) < share[:, codes]
        interval = over_seeds(Units("group", codes), right).interval
        assert interval.low is not None and interval.high is not None
        covered += interval.low <= 0.8 <= interval.high
    assert 0.917 < covered / 400 < 0.983


def test_intervals_exist_if_all_images_are_right_and_if_groups_are_unknown() -> None:
    right = np.ones((3, 6000), bool)
    known, unknown = (over_seeds(units, right).interval for units in (Units("group", CODES), Units.unknown()))
    assert known.high == 1 and known.low == pytest.approx(200 / (200 + 1.959964**2))
    assert unknown.low == pytest.approx(6000 / (6000 + 1.959964**2)) and unknown.unit == "unknown"
    some = right.copy()
    some[:, :600] = False
    plain, wider = (over_seeds(Units.unknown(effect), some).interval for effect in (None, DesignEffect(9.0, 261)))
    assert plain.high is not None and wider.high is not None and wider.high > plain.high
    assert (wider.unit, wider.groups) == ("estimated", None) and wider.design_effect == pytest.approx(9, rel=1e-3)


@pytest.mark.parametrize("sd", [0.0, 0.3])
def test_the_intervals_cover_the_mean_cost_of_the_recipe(sd: float) -> None:
    """As above, with costs of any size."""
    random = np.random.default_rng(3)
    codes, covered = np.repeat(np.arange(100), 10), 0
    for _ in range(400):
        signs = random.gamma(4, 0.5, 100) + random.normal(0, sd, (3, 1)) + 0.2 * random.normal(size=(3, 100))
        interval = mean_over_seeds(Units("group", codes), signs[:, codes] + random.normal(size=(3, 1000)))
        assert interval.low is not None and interval.high is not None
        covered += interval.low <= 2.0 <= interval.high
    assert 0.917 < covered / 400 < 0.983


def test_of_two_values_the_mean_has_nearly_the_interval_of_a_proportion() -> None:
    random = np.random.default_rng(4)
    right = random.random((3, 6000)) < random.beta(3, 3, 200)[CODES]
    units = Units("group", CODES)
    mean, proportion = mean_over_seeds(units, right.astype(float)), over_seeds(units, right).interval
    assert mean.low is not None and mean.high is not None and proportion.low is not None and proportion.high is not None
    assert (mean.value, mean.low, mean.high) == pytest.approx(proportion[:3], abs=0.002)
