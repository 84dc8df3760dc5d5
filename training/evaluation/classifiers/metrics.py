"""Metrics of predictions, as pure functions of labels, predictions and probabilities.

Accuracy, and a class's recall (its true positive rate, TPR), precision and FPR are proportions, so they have a 95 %
interval over the groups of images (intervals.proportions); averages over classes, F1 and ECE have none. A metric of a
class is undefined without cases (its recall if no image has that label, its precision if it is never predicted).
Averages are over the classes that occur in the labels, "macro" equally, "_weighted" by their images; there, the
precision of a class that is never predicted counts as 0, as in scikit-learn: otherwise a classifier would gain by never
predicting a hard class.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.intervals.proportions import Interval, Unit

__all__ = ["Measurement", "Reliability", "confusion", "measure", "reliability"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
RELIABILITY_BINS = 15


class Measurement(NamedTuple):
    """`low` and `high` are the ends of the 95 % interval. It is of `images` in `groups`, counts `unit`, and
    `design_effect` images count as one; None if undefined, unknown, or without interval."""

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    images: int | None = None
    groups: int | None = None
    design_effect: float | None = None
    unit: Unit | None = None

    @classmethod
    def of(cls, metric: str, interval: Interval) -> "Measurement":
        return cls(metric, *interval)

    @property
    def ends(self) -> tuple[float | None, float | None]:
        return self.low, self.high


class Reliability(NamedTuple):
    """Images by the confidence of their prediction, in bins (0, 1/B], (1/B, 2/B], …; NaN in bins without images."""

    images: Integers
    confidence: Floats
    accuracy: Floats

    @property
    def ece(self) -> float:
        """Expected calibration error: Σ images/N · |accuracy − confidence| (C. Guo et al., "On calibration of modern
        neural networks", ICML 2017, equation 3). In torchmetrics a confidence of exactly 1 has a bin of its own."""
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float(np.average(gaps, weights=self.images))


def confusion(predictions: Predictions) -> Integers:
    """(num_classes, num_classes): the number of images with the label of the row that were predicted as the class of
    the column."""
    classes = range(predictions.probabilities.shape[1])
    matrix: Integers = confusion_matrix(predictions.labels, predictions.predicted, labels=classes)
    return matrix


def reliability(predictions: Predictions, bins: int = RELIABILITY_BINS) -> Reliability:
    confidences = predictions.confidences.astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, confidences) - 1, 0, bins - 1)
    images = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(
            images,
            np.bincount(places, confidences, bins) / images,
            np.bincount(places, predictions.right, bins) / images,
        )


def measure(predictions: Predictions) -> list[Measurement]:
    """All metrics of one classifier on one variant. Metrics of a class contain its label: recall/14."""
    matrix = confusion(predictions)
    return [
        Measurement("images", float(matrix.sum())),
        Measurement.of("accuracy", predictions.units.proportion(predictions.right)),
        *_averages(predictions, matrix),
        Measurement("ece", reliability(predictions).ece),
        *_by_class(predictions, matrix),
    ]


def _averages(predictions: Predictions, matrix: Integers) -> Iterator[Measurement]:
    images = matrix.sum(axis=1)
    present = np.flatnonzero(images)
    false_positives = matrix.sum(axis=0) - matrix.diagonal()
    negatives = images.sum() - images[present]
    fpr = np.divide(false_positives[present], negatives, out=np.full(len(present), np.nan), where=negatives > 0)
    for average, suffix, weights in (("macro", "", None), ("weighted", "_weighted", images[present])):
        precision, recall, f1, _ = precision_recall_fscore_support(
            predictions.labels, predictions.predicted, labels=present, average=average, zero_division=0
        )
        yield Measurement(f"precision{suffix}", float(precision))
        yield Measurement(f"recall{suffix}", float(recall))
        yield Measurement(f"f1{suffix}", float(f1))
        yield Measurement(f"fpr{suffix}", _number(np.average(fpr, weights=weights)))


def _by_class(predictions: Predictions, matrix: Integers) -> Iterator[Measurement]:
    units, classes = predictions.units, len(matrix)
    right = units.counts(predictions.labels, classes, predictions.right)
    images, predicted = (units.counts(found, classes) for found in (predictions.labels, predictions.predicted))
    others = images.sum(axis=1, keepdims=True) - images
    precision, recall = units.proportions(right, predicted), units.proportions(right, images)
    fpr = units.proportions(predicted - right, others)
    for label in range(classes):
        both = int(matrix[label].sum() + matrix[:, label].sum())
        yield Measurement(f"images/{label}", float(matrix[label].sum()))
        yield Measurement.of(f"precision/{label}", precision.at(label))
        yield Measurement.of(f"recall/{label}", recall.at(label))
        yield Measurement(f"f1/{label}", 2 * int(matrix[label, label]) / both if both else None)
        yield Measurement.of(f"fpr/{label}", fpr.at(label))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
