"""Under which noise the report shows what a network looks at."""

from ladder_predictions import subject

from training.evaluation.report.curves import find_failures
from training.evaluation.report.looks import _worst_variant
from training.evaluation.robustness.thresholds import Criterion


def test_it_is_the_strongest_named_level_of_the_noise_that_breaks_it() -> None:
    one = subject("A", 14.0, 15.0)
    failures = find_failures([one], Criterion(draws=100))
    assert "gaussian-60" in one.found and _worst_variant(one, failures) == "gaussian-max"


def test_without_a_threshold_it_is_the_level_that_leaves_least() -> None:
    one = subject("A", 15.0)
    shares = [float(one.found[f"gaussian-{level}"][0].right.mean()) for level in ("min", "avg", "max")]
    assert shares[2] == min(shares)
    assert _worst_variant(one, []) == "gaussian-max"
