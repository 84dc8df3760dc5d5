"""Risk–coverage curves and the threshold of confidence beside plain loops."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ladder_predictions import predictions, subject

from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.report.abstention import abstention_section, refused, risk_coverage, tuned_threshold
from training.evaluation.report.contract import Grid


def sure(right: list[bool], confidences: list[float]) -> Predictions:
    """Of the first images; each is as sure as it is told to be."""
    found = predictions(np.resize(np.array(right), 400), 0.0)
    found = found.at(found.image_ids[: len(right)])
    probabilities = np.repeat((1 - np.array(confidences, np.float32))[:, None] / 3, 4, axis=1)
    probabilities[np.arange(len(right)), found.predicted] = confidences
    return replace(found, probabilities=probabilities)


def test_the_curve_counts_errors_among_the_surest() -> None:
    coverages, risks = risk_coverage(sure([True, False, True, True], [0.9, 0.4, 0.7, 0.95]))
    assert coverages.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risks.tolist() == [0, 0, 0, 0.25]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.4, 0.5, 0.6, 0.7, 0.8, 0.9])), min_size=1, max_size=30))
def test_the_threshold_is_the_smallest_that_keeps_the_promise(images: list[tuple[bool, float]]) -> None:
    found = sure([right for right, _ in images], [confidence for _, confidence in images])
    kept = []
    for threshold in sorted(set(found.confidences.tolist())):
        answered = [right for right, one in zip(found.right, found.confidences, strict=True) if one >= threshold]
        if np.mean(answered) >= 0.75:
            kept.append(threshold)
    assert tuned_threshold(found, 0.75) == (min(kept) if kept else None)


def test_a_refusal_says_how_many_are_answered_and_right() -> None:
    found = sure([True, False, True, True], [0.9, 0.8, 0.7, 0.5])
    assert refused(found, 0.7) == (0.75, pytest.approx(2 / 3))
    assert refused(found, 0.99) == (0.0, None)


def test_the_section_has_a_row_per_named_level_and_a_column_per_recipe() -> None:
    section = abstention_section([subject("A", 15.0), subject("B", 30.0)])
    (grid,) = [block for block in section.blocks if isinstance(block, Grid)]
    assert [row[0].text for row in grid.rows] == ["clean", "gaussian-min", "gaussian-avg", "gaussian-max"]
    assert grid.data is not None
    clean = grid.data.to_pylist()[0]
    assert clean["accuracy_at_100"] == pytest.approx(float(subject("A", 15.0).found["clean"][0].right.mean()))
    assert clean["threshold"] is None  # all images are equally sure, and 97 % are right
    assert grid.rows[0][1].text == "no such threshold"
