from dataclasses import replace

import interval_twins
import metric_twins
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, classification_report
from torchmetrics.functional.classification import multiclass_calibration_error

from training.evaluation.classifiers.metrics import Measurement, confusion, measure, reliability
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.intervals.proportions import DesignEffect


def predictions(labels: list[int], predicted: list[int], classes: int, seed: int = 0) -> Predictions:
    """Those predictions, with random probabilities of which the predicted class has the largest."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(classes), len(labels))
    rows = np.arange(len(labels))
    largest = probabilities.argmax(axis=1)
    swapped = probabilities.copy()
    swapped[rows, predicted], swapped[rows, largest] = probabilities[rows, largest], probabilities[rows, predicted]
    ids = np.array([f"test/{row:05d}" for row in rows])
    return Predictions(ids, np.array(labels), np.array(predicted), swapped.astype(np.float32), "0")


def by_name(found: Predictions) -> dict[str, Measurement]:
    return {measurement.metric: measurement for measurement in measure(found)}


@st.composite
def some_predictions(draw: st.DrawFn) -> Predictions:
    classes = draw(st.integers(2, 6))
    label = st.integers(0, classes - 1)
    pairs = draw(st.lists(st.tuples(label, label), min_size=1, max_size=60))
    labels, predicted = (list(column) for column in zip(*pairs, strict=True))
    return predictions(labels, predicted, classes, draw(st.integers(0, 1000)))


@given(found=some_predictions())
@settings(max_examples=60, deadline=None)
def test_the_metrics_of_each_class_equal_those_of_a_plain_loop(found: Predictions) -> None:
    labels, predicted = found.labels.tolist(), found.predicted.tolist()
    measured = by_name(found)
    for label in range(found.probabilities.shape[1]):
        tp, fp, fn, tn = metric_twins.counts(labels, predicted, label)
        cases = {"precision": (tp, tp + fp), "recall": (tp, tp + fn), "fpr": (fp, fp + tn)}
        for name, (part, whole) in cases.items():
            value, low, high = measured[f"{name}/{label}"][1:4]
            assert value == metric_twins.ratio(part, whole)
            if value is not None:
                assert (low, high) == pytest.approx(metric_twins.wilson(part, whole), abs=1e-12)
                assert 0 <= low <= value <= high <= 1
            else:
                assert (low, high) == (None, None)
        assert measured[f"f1/{label}"].value == metric_twins.ratio(2 * tp, 2 * tp + fp + fn)
        assert measured[f"images/{label}"].value == tp + fn
        assert confusion(found)[label].sum() == tp + fn
    assert measured["images"].value == len(labels)


@given(found=some_predictions())
@settings(max_examples=60, deadline=None)
def test_averages_are_means_over_the_classes_that_occur(found: Predictions) -> None:
    measured = by_name(found)
    present = sorted(set(found.labels.tolist()))
    weights = [np.sum(found.labels == label) for label in present]
    for name in ("precision", "recall", "f1", "fpr"):
        of_classes = [measured[f"{name}/{label}"].value for label in present]
        if name == "fpr" and None in of_classes:  # one class alone: nothing else to be taken for it
            assert len(present) == 1 and measured["fpr"].value is None
            continue
        values = [value or 0.0 for value in of_classes]
        assert measured[name].value == pytest.approx(np.mean(values))
        assert measured[f"{name}_weighted"].value == pytest.approx(np.average(values, weights=weights))
        assert measured[name].ends == (None, None)


def test_averages_equal_scikit_learns_report_if_all_classes_occur() -> None:
    random = np.random.default_rng(0)
    labels = [*range(43), *random.integers(0, 43, 2000).tolist()]
    predicted = [label if random.random() < 0.7 else int(random.integers(0, 43)) for label in labels]
    found = predictions(labels, predicted, 43)
    report = classification_report(labels, predicted, output_dict=True, zero_division=0)
    measured = by_name(found)
    for average, suffix in (("macro avg", ""), ("weighted avg", "_weighted")):
        for theirs, ours in (("precision", "precision"), ("recall", "recall"), ("f1-score", "f1")):
            assert measured[f"{ours}{suffix}"].value == pytest.approx(report[average][theirs])
    assert measured["accuracy"].value == report["accuracy"]
    assert measured["recall"].value == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert measured["recall_weighted"].value == pytest.approx(report["accuracy"])


def test_a_class_that_is_never_predicted_does_not_raise_the_averages() -> None:
    measured = by_name(predictions([0, 0, 0, 1], [0, 0, 0, 0], classes=3))
    assert measured["precision/1"].value is None
    assert measured["precision"].value == pytest.approx((3 / 4 + 0) / 2)
    assert measured["recall/2"].value is None
    assert measured["recall"].value == pytest.approx(1 / 2)


@given(found=some_predictions(), groups=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_every_interval_equals_that_of_a_loop_over_groups(found: Predictions, groups: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, groups, len(found.labels))
    names = np.array([f"sign {code}" for code in codes])
    measured = by_name(replace(found, groups=names))
    unit = "image" if len(set(codes)) == len(codes) else "group"
    labels, predicted = found.labels, found.predicted
    for label in range(found.probabilities.shape[1]):
        cases = {"precision": predicted == label, "recall": labels == label, "fpr": labels != label}
        for name, rows in cases.items():
            one = measured[f"{name}/{label}"]
            chosen = predicted[rows] == label if name == "fpr" else (labels == predicted)[rows]
            assert (one.images, one.unit) == (rows.sum(), unit)
            if rows.any():
                own = names[rows].tolist()
                expected = interval_twins.korn_graubard(chosen.tolist(), own)
                assert one.ends == pytest.approx(expected, abs=1e-12)
                assert one.groups == len(set(own))
    accuracy = measured["accuracy"]
    assert accuracy.ends == pytest.approx(interval_twins.korn_graubard(found.right.tolist(), names.tolist()))
    assert measured["f1"].unit is measured["ece"].unit is None


def test_the_unit_is_named() -> None:
    found = predictions([0, 0, 1, 1], [0, 1, 1, 1], 2)
    assert by_name(found)["accuracy"].unit == "unknown"
    tracks = replace(found, groups=np.array(["a", "a", "b", "b"]))
    assert by_name(tracks)["accuracy"][4:] == (4, 2, 2.0, "group")
    assert by_name(replace(tracks, recovered=True))["recall/0"].unit == "recovered group"
    assert by_name(replace(found, groups=found.image_ids))["accuracy"][4:] == (4, 4, 1.0, "image")
    estimated = by_name(replace(found, design_effect=DesignEffect(2.0, 9)))["accuracy"]
    assert estimated[4:] == (4, None, 2.0, "estimated")


def test_a_part_of_the_images_has_a_smaller_design_effect() -> None:
    """A tenth of the images of tracks of 30: 1 + 29 ρ becomes about 1 + 2.9 ρ."""
    found = replace(predictions([0] * 10, [0] * 10, 2), design_effect=DesignEffect(9.0, 261))
    assert found.at(found.image_ids[:1]).design_effect == DesignEffect(pytest.approx(1.8), 261)


@given(found=some_predictions(), bins=st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_ece_equals_that_of_a_plain_loop_and_of_torchmetrics(found: Predictions, bins: int) -> None:
    confidences = found.confidences.astype(float).tolist()
    ours = reliability(found, bins)
    expected = metric_twins.ece(found.labels.tolist(), found.predicted.tolist(), confidences, bins)
    assert ours.ece == pytest.approx(expected, abs=1e-9)
    assert ours.images.sum() == len(found.labels)
    theirs = multiclass_calibration_error(
        torch.from_numpy(found.probabilities), torch.from_numpy(found.labels), found.probabilities.shape[1], n_bins=bins
    )
    assert ours.ece == pytest.approx(theirs.item(), abs=1e-5)


def test_a_prediction_with_confidence_1_belongs_to_the_last_bin() -> None:
    ones = np.eye(2, dtype=np.float32)[[0, 0, 0, 1]]
    found = Predictions(np.array(list("abcd")), np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]), ones, "0")
    bins = reliability(found)
    assert bins.images.tolist() == [0] * 14 + [4]
    assert bins.ece == pytest.approx(1 / 4)
    assert (bins.accuracy[-1], bins.confidence[-1]) == (0.75, 1.0)
