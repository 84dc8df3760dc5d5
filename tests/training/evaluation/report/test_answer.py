"""The first screen: what breaks a network first, in words that follow from the numbers."""

from dataclasses import replace

import numpy as np
import pytest
from ladder_predictions import by_model, network, predictions, subject

from pipelines.noise import NOISES
from pipelines.store.shown import Shown
from training.evaluation.report.answer import answer_section, first_to_break
from training.evaluation.report.changes import compared, said_of
from training.evaluation.report.contract import Prose
from training.evaluation.report.curves import find_failures, threshold_section
from training.evaluation.report.subjects import Subject
from training.evaluation.robustness.thresholds import Criterion

CRITERION = Criterion(draws=100, class_draws=100)


def said(*subjects: Subject) -> list[str]:
    failures = find_failures(subjects, CRITERION)
    (block,) = answer_section(subjects, failures, compared(by_model(*subjects), subjects), CRITERION).blocks
    assert isinstance(block, Prose)
    return list(block.items)


def test_the_noise_that_breaks_a_network_is_named_with_strength_interval_and_ratio() -> None:
    one = subject("A", 25.0)
    (failure,) = find_failures([one], CRITERION)
    (sentence,) = said(one)
    assert sentence.startswith("A cnn (single network) has ")
    assert (
        f"Gaussian noise breaks it first: below 90 % of the clean accuracy from {failure.threshold.text} grey levels"
        in sentence
    )
    assert f"(95 % interval {failure.threshold.interval_text}; standard deviation)" in sentence
    assert "by physical object)" in sentence
    expected = 40 - 20 * np.log10(failure.threshold.value)
    assert failure.snr_db == pytest.approx(expected)
    assert f"at a signal-to-noise ratio of {expected:.0f} dB" in sentence


def test_a_noise_that_does_not_break_it_is_said_with_the_strongest_that_was_shown() -> None:
    (sentence,) = said(subject("A", 4000.0))
    assert "breaks" not in sentence
    assert sentence.endswith("It holds up to the strongest gaussian (60 grey levels).")


def test_a_threshold_below_the_weakest_noise_is_not_a_number() -> None:
    (sentence,) = said(subject("A", 2.0))
    assert sentence.endswith("Already below the weakest strength shown: gaussian.")


def test_the_noise_of_the_higher_ratio_comes_first() -> None:
    """Waves of a third of the energy do the same harm."""
    gaussian = network(25.0, seed=7)
    waves = {
        variant.replace("gaussian", "periodic"): replace(
            one,
            variant=variant.replace("gaussian", "periodic"),
            recorded=Shown("periodic", one.recorded.level),
            noise=NOISES["periodic"](amplitude=one.noise.strength.value / 50),
            snr_db=(one.snr_db or 0.0) + 5,
        )
        for variant, one in gaussian.items()
        if one.noise
    }
    both = Subject("A", "cnn", ["cnn"], {variant: [one] for variant, one in {**gaussian, **waves}.items()}, {})
    failures = find_failures([both], CRITERION)
    assert [one.threshold.ladder.name for one in failures] == ["gaussian", "periodic"]
    assert [one.threshold.ladder.name for one in first_to_break(failures)] == ["periodic", "gaussian"]
    assert "Periodic noise breaks it first" in said(both)[0]
    assert ". Then gaussian from " in said(both)[0]


def test_without_enough_strengths_the_page_says_how_to_make_more() -> None:
    found = {variant: [one] for variant, one in network(25.0).items() if variant in ("clean", "gaussian-max")}
    one = Subject("A", "cnn", ["cnn"], found, {})
    assert find_failures([one], CRITERION) == []
    assert "lowest accuracy" in said(one)[0]
    (block,) = threshold_section([], [one], CRITERION).blocks
    assert isinstance(block, Prose)
    assert "noise=ladder variants=noisy 'splits=[test]'" in block.items[0]


def test_a_network_that_saw_clean_images_only_says_nothing_about_noise() -> None:
    one = Subject("A", "cnn", ["cnn"], {"clean": [predictions(np.ones(400, bool), 0.0)]}, {})
    assert said(one)[0].endswith("clean images only, which say nothing about noise.")


def test_the_second_recipe_is_compared_with_the_first_by_letters() -> None:
    weak, strong = subject("A", 15.0, 16.0, 17.0, name="weak"), subject("B", 35.0, 36.0, 37.0, name="strong")
    sentences = said(weak, strong)
    assert len(sentences) == 3
    assert sentences[2].startswith("B is safer than A: better in 2 of 4 variants, worse in 0, not shown in 2. Better: ")
    assert "weak-seed0" not in sentences[2]
    ((before, after, found),) = compared(by_model(strong, weak), [strong, weak])
    assert said_of(before, after, found)[0].startswith("A is less safe than B: ")


def test_finer_strengths_do_not_count_in_the_verdict() -> None:
    weak, strong = subject("A", 15.0, name="weak"), subject("B", 35.0, name="strong")
    ((_, _, found),) = compared(by_model(weak, strong), [weak, strong])
    assert found.table["level"].to_pylist() == ["none", "min", "avg", "max"]
