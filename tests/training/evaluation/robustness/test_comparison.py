"""The verdict on two models or recipes, beside the tests that it is made of."""

from dataclasses import replace
from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from small_attacks import classifier

from pipelines.store.shown import Shown
from training.classifiers.trained import Classifier
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.intervals.holm import holm
from training.evaluation.intervals.pairs import Pairs, Side
from training.evaluation.robustness.comparison import Comparison, compare, shown_comparison

SIGNS, FRAMES = 60, 5
GROUPS = np.repeat([f"sign {number:02d}" for number in range(SIGNS)], FRAMES)
IDS = np.array([f"test/{number:05d}" for number in range(len(GROUPS))])


def predictions(right: np.ndarray[Any, Any], shown: Shown, **fields: Any) -> Predictions:
    labels = np.zeros(len(right), np.int64)
    predicted = np.where(right, 0, 1)
    values: dict[str, Any] = {"groups": GROUPS[: len(right)], "recorded": shown, **fields}
    return Predictions(
        IDS[: len(right)], labels, predicted, np.eye(2, dtype=np.float32)[predicted], "0", shown.variant, **values
    )


def drawn(accuracy: float, seed: int) -> np.ndarray[Any, Any]:
    """All frames of a sign are right or wrong together."""
    return np.repeat(np.random.default_rng(seed).random(SIGNS) < accuracy, FRAMES)


def trained(seed: int, **recipe: Any) -> Classifier:
    settings = {"seed": seed, "data": {}, **recipe}
    return replace(classifier(), about={"settings": settings, "datasets": {}})


CLEAN, NOISY = Shown(), Shown("gaussian", "max")


def compared(first: dict[Shown, list[Any]], second: dict[Shown, list[Any]]) -> Comparison:
    """For each side and variant, which images each seed has right."""
    models, found = {}, {}
    for side, variants in enumerate((first, second)):
        for shown, seeds in variants.items():
            for seed, right in enumerate(seeds):
                name = f"{'ab'[side]}{seed}"
                models[name] = trained(seed, lr=side)
                found[name, shown.variant] = predictions(right, shown)
    result = compare(found, models)
    assert result is not None
    return result


def test_the_numbers_are_those_of_the_gates_tests() -> None:
    first = {CLEAN: [drawn(0.9, seed) for seed in (0, 1, 2)], NOISY: [drawn(0.3, seed) for seed in (3, 4, 5)]}
    second = {CLEAN: [drawn(0.9, seed) for seed in (6, 7, 8)], NOISY: [drawn(0.8, seed) for seed in (9, 10, 11)]}
    rows = compared(first, second).table.to_pylist()
    pairs = [Pairs(Side(np.array(first[one]), GROUPS), Side(np.array(second[one]), GROUPS)) for one in (CLEAN, NOISY)]
    assert [row["noise"] for row in rows] == ["none", "gaussian"]
    for row, pair in zip(rows, pairs, strict=True):
        assert (row["low"], row["high"]) == pair.interval()
        assert row["difference"] == pytest.approx(row["accuracy_after"] - row["accuracy_before"])
        assert (row["groups"], row["images"], row["seeds_before"], row["seeds_after"]) == (SIGNS, 300, 3, 3)
    assert [row["p_better"] for row in rows] == pytest.approx(holm([pair.p_better() for pair in pairs]).tolist())
    assert [row["p_worse"] for row in rows] == pytest.approx(holm([pair.p_worse(0) for pair in pairs]).tolist())


def test_it_says_safer_less_safe_neither_or_not_shown() -> None:
    low, high = [drawn(0.3, 0), drawn(0.3, 1), drawn(0.3, 2)], [drawn(0.9, 3), drawn(0.9, 4), drawn(0.9, 5)]
    a, b = "a0, a1, a2", "b0, b1, b2"
    safer = compared({CLEAN: low, NOISY: low}, {CLEAN: low, NOISY: high})
    assert safer.sentences[0] == f"{b} is safer than {a}: better in 1 of 2 variants, worse in 0, not shown in 1"
    assert safer.sentences[1].startswith("better: gaussian-max +")
    less = compared({CLEAN: high, NOISY: low}, {CLEAN: low, NOISY: low})
    assert less.sentences[0].startswith(f"{b} is less safe than {a}: better in 0 of 2 variants, worse in 1")
    mixed = compared({CLEAN: high, NOISY: low}, {CLEAN: low, NOISY: high})
    assert mixed.sentences[0].startswith(f"{b} is neither safer nor less safe than {a}")
    same = compared({CLEAN: low, NOISY: high}, {CLEAN: low, NOISY: high})
    assert same.sentences == [f"no difference between {a} and {b} is shown in any of 2 variants"]


def test_one_bad_sign_is_no_difference_although_its_frames_are_many() -> None:
    right = np.ones(len(GROUPS), bool)
    worse = right & (GROUPS != "sign 07")
    (row,) = compared({CLEAN: [right]}, {CLEAN: [worse]}).table.to_pylist()
    assert row["verdict"] == "not shown" and row["difference"] == pytest.approx(-1 / SIGNS)


def test_single_seeds_are_said() -> None:
    one = compared({CLEAN: [drawn(0.5, 0)]}, {CLEAN: [drawn(0.5, 1)]})
    assert one.sentences[-1] == "one seed on each side: another seed of the same recipe may differ as much"
    some = compared({CLEAN: [drawn(0.5, 0)]}, {CLEAN: [drawn(0.5, 1), drawn(0.6, 2)]})
    assert some.sentences[-1] == "one side has a single seed: its spread is taken from the other side"


def test_two_models_of_one_recipe_are_compared_and_three_recipes_are_not() -> None:
    found = {(name, "clean"): predictions(drawn(0.5, seed), CLEAN) for seed, name in enumerate("abc")}
    two = compare(found, {name: trained(seed) for seed, name in enumerate("ab")})
    assert two is not None and two.table.num_rows == 1
    assert compare(found, {name: trained(seed, lr=seed) for seed, name in enumerate("abc")}) is None
    assert compare(found, {"a": trained(0)}) is None
    from_outside = compare(found, {"a": trained(0), "b": replace(classifier(), about={})})
    assert from_outside is not None and from_outside.table.num_rows == 1


def test_images_made_against_another_network_are_left_out_and_a_part_of_the_images_is_compared() -> None:
    fgsm = Shown("fgsm", "snr33")
    found = {
        ("a", "clean"): predictions(drawn(0.5, 0), CLEAN), ("b", "clean"): predictions(drawn(0.5, 1)[:50], CLEAN),
        ("a", "fgsm-snr33"): predictions(drawn(0.5, 0), fgsm),
        ("b", "fgsm-snr33"): predictions(drawn(0.5, 1), fgsm, transfer=True),
    }  # fmt: skip
    result = compare(found, {"a": trained(0), "b": trained(1)})
    assert result is not None
    (row,) = result.table.to_pylist()
    assert (row["noise"], row["images"], row["groups"]) == ("none", 50, 10)


def test_images_whose_objects_are_unknown_are_not_compared_and_it_says_what_to_do() -> None:
    found = {(name, "clean"): predictions(drawn(0.5, 0), CLEAN, groups=None) for name in "ab"}
    result = compare(found, {"a": trained(0), "b": trained(1)})
    assert result is not None and result.table.num_rows == 0
    assert result.sentences == [
        "a and b are not compared: it is not known which images of clean show one object; use groups=recovered or "
        "split=validation"
    ]
    nothing = compare({("a", "clean"): found["a", "clean"]}, {"a": trained(0), "b": trained(1)})
    assert nothing is not None and "not evaluated on the same variants" in nothing.sentences[0]


def test_the_console_shows_whole_words_on_80_columns() -> None:
    """With the longest name and the widest numbers."""
    console, salt = Console(width=80, file=StringIO()), Shown("salt_pepper", "min")
    first = {NOISY: [drawn(0.3, 0)], salt: [drawn(0.9, 0)]}
    second = {NOISY: [drawn(0.9, 1)], salt: [drawn(0.9, 1)]}
    console.print(*shown_comparison(compared(first, second)), sep="\n")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "b0 is safer than a0" in text
    assert "salt_pepper-min" in text and "better" in text and "not shown" in text and "…" not in text
