"""Failure thresholds: ladders of strengths, known thresholds, and what is said where none was measured."""

import importlib.util
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ladder_predictions import STRENGTHS, network, predictions

from pipelines.noise import NOISES
from training.evaluation.robustness.ladders import Ladder, find_ladders
from training.evaluation.robustness.thresholds import Criterion, Threshold, find_threshold, ladder_of

QUICK = Criterion(draws=200)
BENCHMARK = Path(__file__).parents[4] / "benchmarks" / "threshold_coverage.py"


def threshold(*seeds: dict[str, object], criterion: Criterion = QUICK) -> Threshold:
    (ladder,) = find_ladders(seeds[0])  # type: ignore[arg-type]
    return find_threshold(ladder, ladder_of(ladder, seeds), criterion)  # type: ignore[arg-type]


def test_a_ladder_has_the_clean_images_and_one_noise_in_order_of_strength() -> None:
    found = network(20.0)
    shuffled = dict(reversed(found.items()))
    (ladder,) = find_ladders(shuffled)
    assert ladder[:3] == ("gaussian", "grey levels", "standard deviation")
    assert [rung.strength for rung in ladder.rungs] == list(STRENGTHS)
    assert [rung.variant for rung in ladder.rungs][:3] == ["clean", "gaussian-min", "gaussian-10"]
    assert ladder.weakest == 5.0
    assert ladder.strongest == 60.0


def test_noises_that_differ_in_another_setting_are_ladders_of_their_own() -> None:
    waves = [NOISES["periodic"](amplitude=one, period_px=period) for period in (4.0, 10.0) for one in (0.5, 1.0)]
    found = {
        f"wave-{place}": replace(predictions(np.ones(400, bool), 1.0), noise=one) for place, one in enumerate(waves)
    }
    found["clean"] = predictions(np.ones(400, bool), 0.0)
    short, long = find_ladders(found)
    assert (short.name, long.name) == ("periodic, period_px 4.0", "periodic, period_px 10.0")
    assert [rung.strength for rung in long.rungs] == [0.0, 25.0, 50.0]


def test_a_noise_of_strength_zero_is_not_a_rung() -> None:
    found = {"clean": predictions(np.ones(400, bool), 0.0)}
    found["random-min"] = replace(found["clean"], noise=NOISES["random"](fraction=0.0))
    assert find_ladders(found) == []


def test_the_threshold_is_between_the_strengths_where_the_accuracy_crosses_it() -> None:
    found = threshold(network(25.0, seed=3))
    clean = found.accuracies[0]
    below = [strength for strength, one in zip(STRENGTHS, found.accuracies, strict=True) if one < 0.9 * clean]
    above = [strength for strength, one in zip(STRENGTHS, found.accuracies, strict=True) if one >= 0.9 * clean]
    assert max(above) * 0.85 < found.value < min(below) * 1.15
    assert found.low < found.value < found.high
    assert found.misfit < 0.03
    assert (found.images, found.groups, found.unit, found.seeds) == (400, 40, "group", 1)


def test_an_absolute_criterion_is_reached_later_if_it_is_lower() -> None:
    one, other = (
        threshold(network(25.0), criterion=Criterion(absolute=share, draws=200)).value for share in (0.8, 0.5)
    )
    assert one < other
    half = threshold(network(25.0), criterion=Criterion(absolute=0.5, draws=200))
    assert half.fits.errors(np.array([half.value]))[0, 0] == pytest.approx(0.5)


def test_what_was_not_reached_is_said_with_the_strongest_noise() -> None:
    found = threshold(network(4000.0))
    assert not found.reached
    assert math.isinf(found.high)
    assert found.text == "above 60"
    assert found.interval_text == "above 60"


def test_what_lies_below_the_weakest_noise_is_not_given_as_a_number() -> None:
    found = threshold(network(2.0))
    assert found.reached
    assert not found.measured
    assert found.text == found.interval_text == "below 5"


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = threshold(*(network(25.0) for _ in range(3)))
    apart = threshold(*(network(middle) for middle in (18.0, 25.0, 34.0)))
    assert alike.high / alike.low < 1.5
    assert apart.high / apart.low > 2 * alike.high / alike.low
    single = threshold(network(25.0))
    assert (alike.low, alike.high) == pytest.approx((single.low, single.high), rel=0.01)


def test_the_same_images_give_the_same_interval_and_another_seed_of_the_bootstrap_nearly() -> None:
    one, again, other = (threshold(network(25.0), criterion=Criterion(draws=400, seed=seed)) for seed in (0, 0, 1))
    assert (one.low, one.high) == (again.low, again.high)
    assert (one.low, one.high) != (other.low, other.high)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=0.1)


def test_images_of_one_sign_count_as_one() -> None:
    """The interval by sign is wider than one that takes the images for independent."""
    found = network(25.0)
    apart = {variant: replace(one, groups=one.image_ids) for variant, one in found.items()}
    by_sign, by_image = threshold(found), threshold(apart)
    assert by_image.unit == "image"
    assert math.log(by_sign.high / by_sign.low) > 1.3 * math.log(by_image.high / by_image.low)


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("threshold_coverage", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_intervals_cover_known_thresholds(coverage: ModuleType) -> None:
    """benchmarks/threshold_coverage.py has many batches; of 60, a true 95 % is below 85 % once in 2,000."""
    truth = coverage.Truth(35.0, 0.5, 0.6, 0.05, 0.03)
    share = coverage.covered(truth, 3, Criterion(draws=200), batches=60, signs=60)
    assert share >= 0.85
    shifted = coverage.Truth(60.0, 0.5, 0.6, 0.05, 0.03)
    ladder = Ladder("gaussian", "", "", tuple(coverage.Rung(one, str(one)) for one in coverage.STRENGTHS))
    wrong = find_threshold(ladder, coverage.simulated(shifted, 3, np.random.default_rng(0), 60), Criterion(draws=200))
    assert not wrong.low <= truth.threshold(QUICK) <= wrong.high
