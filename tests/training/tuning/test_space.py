"""The values of one key, and the settings that they become."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.settings import load
from training.classifiers.settings import TrainClassifier
from training.tuning.space import Space, override

CONFIG = Path(__file__).parents[3] / "conf" / "train_classifier.yaml"


@pytest.mark.parametrize(
    "values, problem",
    [
        ({}, "expected low and high, or choices"),
        ({"low": 0.1}, "expected low and high, or choices"),
        ({"low": 0.2, "high": 0.1}, "low is 0.2 and high is 0.1"),
        ({"low": 0.1, "high": 0.1}, "low below high"),
        ({"low": 0.0, "high": 1.0, "log": True}, "log needs a low above 0"),
        ({"low": 0.0, "high": float("inf")}, "expected finite numbers"),
        ({"choices": (1, 2), "low": 1}, "give either choices, or low and high"),
        ({"choices": (1, 1)}, "contains duplicates"),
        ({"choices": (1,)}, "at least 2"),
    ],
)
def test_a_space_without_a_meaning_is_refused(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Space(**values)


def proposed(space: Space, trials: int = 200) -> list[Any]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.suggest(study.ask(), "key") for _ in range(trials)]


def test_two_whole_numbers_give_whole_numbers_with_both_ends() -> None:
    assert set(proposed(Space(low=2, high=4))) == {2, 3, 4}


def test_a_range_with_a_fraction_gives_numbers_between_its_ends() -> None:
    found = proposed(Space(low=0, high=0.5))
    assert all(isinstance(value, float) and 0 <= value <= 0.5 for value in found)
    assert len(set(found)) == len(found)


def test_half_of_a_logarithmic_range_is_below_its_geometric_mean() -> None:
    below = sum(value < 0.01 for value in proposed(Space(low=0.0001, high=1.0, log=True), 2000))
    assert abs(below / 2000 - 0.5) < 4 * 0.5 / 2000**0.5  # four standard errors


@given(st.floats(1e-300, 1e300))
def test_a_proposed_number_arrives_in_the_settings_as_it_is(lr: float) -> None:
    assert load(TrainClassifier, CONFIG, ["data.root=x", override("lr", lr)]).lr == lr


def test_choices_may_be_text_and_lists_and_nothing() -> None:
    spaces = {
        "schedule": Space(choices=("constant", "one_cycle")),
        "max_gradient_norm": Space(choices=(None, 1.0)),
        "augmentation.noise.period_px": Space(choices=([3.0, 4.0], [5.0, 6.0])),
    }
    settings = load(
        TrainClassifier,
        CONFIG,
        ["data.root=x", *(override(key, proposed(space, 1)[0]) for key, space in spaces.items())],
    )
    assert settings.schedule in ("constant", "one_cycle")
    assert settings.max_gradient_norm in (None, 1.0)
    assert settings.augmentation.noise
    assert settings.augmentation.noise.period_px in ((3.0, 4.0), (5.0, 6.0))
