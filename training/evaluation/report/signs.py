"""Which signs go first: the failure threshold of each class, and images of those that fail at the weakest noise."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from pipelines.store.schema import Split
from training.evaluation.classifiers.figures import label_text, show
from training.evaluation.classifiers.flips import images_by_id
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.report.contract import Block, Cell, Grid, Picture, Prose, Section, table
from training.evaluation.report.curves import Failure
from training.evaluation.report.subjects import Subject
from training.evaluation.robustness.ladders import Ladder
from training.evaluation.robustness.thresholds import Criterion, Threshold, find_threshold, ladder_of
from training.streams.stream import Data

__all__ = ["ClassFailure", "find_class_failures", "sign_section"]

SHOWN = 10
TEXTS = {"subject", "noise", "unit", "class"}


class ClassFailure(NamedTuple):
    subject: Subject
    label: int
    threshold: Threshold


def find_class_failures(failures: Sequence[Failure], criterion: Criterion) -> list[ClassFailure]:
    """Of every class with images, under every noise that has a threshold."""
    found = []
    for failure in failures:
        shown = _shown(failure.subject, failure.threshold.ladder)
        labels = shown[0][0].labels
        for label in np.unique(labels).tolist():
            threshold = find_threshold(failure.threshold.ladder, shown, criterion, labels == label)
            found.append(ClassFailure(failure.subject, label, threshold))
    return found


def _shown(subject: Subject, ladder: Ladder) -> list[list[Predictions]]:
    seeds = [{variant: found[seed] for variant, found in subject.found.items()} for seed in range(subject.seeds)]
    return ladder_of(ladder, seeds)


def sign_section(
    found: Sequence[ClassFailure], first: Failure, criterion: Criterion, data: Data, split: Split, examples: int
) -> Section:
    """`first`: the noise that breaks the first subject at the highest signal-to-noise ratio; its classes are shown, the
    weakest first, and those of the other noises and subjects are in the file."""
    own = [
        one
        for one in found
        if one.subject.letter == first.subject.letter and one.threshold.ladder.name == first.threshold.ladder.name
    ]
    ranked = sorted(own, key=lambda one: (one.threshold.value, one.label))
    weakest = [one for one in ranked if one.threshold.reached]
    ladder = first.threshold.ladder
    said = (
        f"{ladder.name} noise and {first.subject.label}, where the accuracy of a class falls below {criterion.text} "
        f"of that class; {len(weakest)} of {len(ranked)} classes do, up to {ladder.strongest:g} ({ladder.axis}). A "
        "class has few objects, so these intervals are wide."
    )
    blocks: list[Block] = [Prose([said]), _grid(weakest[:SHOWN] or ranked[:SHOWN], found, ladder.axis)]
    if examples and weakest:
        blocks.append(_picture(weakest[:examples], first, data, split))
    return Section("signs", "Which signs go first?", blocks)


def _grid(ranked: Sequence[ClassFailure], every: Sequence[ClassFailure], axis: str) -> Grid:
    names = _names(ranked[0].subject)
    rows = [
        [
            Cell(f"{one.label} {names[one.label]}"),
            Cell(one.threshold.text, one.threshold.interval_text),
            Cell(f"{100 * one.threshold.accuracies[0]:.1f} %"),
            Cell(str(one.threshold.groups or "unknown"), f"{one.threshold.images} images"),
        ]
        for one in ranked
    ]  # fmt: skip
    data = [
        {"subject": one.subject.label, "noise": one.threshold.ladder.name, "unit": one.threshold.ladder.unit,
         "label": one.label, "class": names[one.label], "threshold": one.threshold.value, "low": one.threshold.low,
         "high": one.threshold.high, "accuracy_clean": float(one.threshold.accuracies[0]),
         "images": one.threshold.images, "groups": one.threshold.groups}
        for one in every
    ]  # fmt: skip
    header = ["class", f"fails from ({axis})", "clean accuracy", "objects"]
    return Grid(
        "class_thresholds",
        "The weakest classes first, with 95 % intervals",
        header,
        rows,
        table(data, {"label", "images", "groups"}, TEXTS),
    )


def _names(subject: Subject) -> Sequence[str]:
    return next(iter(subject.found.values()))[0].class_names


def _picture(weakest: Sequence[ClassFailure], first: Failure, data: Data, split: Split) -> Picture:
    """Of each class, the image that the first network is surest of without noise and gets wrong above the threshold."""
    rungs = first.threshold.ladder.rungs
    clean = first.subject.found[rungs[0].variant][0]
    chosen: list[tuple[ClassFailure, float, Predictions, int]] = []
    for one in weakest:
        rung = next((rung for rung in rungs if rung.strength >= one.threshold.value), rungs[-1])
        noisy = first.subject.found[rung.variant][0]
        rows = np.flatnonzero((clean.labels == one.label) & clean.right & ~noisy.right)
        if len(rows):
            chosen.append((one, rung.strength, noisy, int(rows[np.argmax(clean.confidences[rows])])))
    images = {
        variant: images_by_id(
            data,
            split,
            variant,
            {str(clean.image_ids[row]) for _, _, noisy, row in chosen if variant in (clean.variant, noisy.variant)},
        )
        for variant in {clean.variant, *(noisy.variant for _, _, noisy, _ in chosen)}
    }
    columns = max(1, min(4, len(chosen)))
    rows_of_pairs = max(1, math.ceil(len(chosen) / columns))
    figure = Figure(figsize=(2.9 * columns, 2.0 * rows_of_pairs), layout="constrained")
    axes = figure.subplots(rows_of_pairs, 2 * columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    names = clean.class_names
    for place, (one, strength, noisy, row) in enumerate(chosen):
        left, right = (axes[place // columns, 2 * (place % columns) + side] for side in (0, 1))
        image_id = str(clean.image_ids[row])
        show(left, images[clean.variant][image_id], label_text(one.label, names), "#1b7837")
        show(
            right,
            images[noisy.variant][image_id],
            f"{strength:g}: taken for\n{label_text(int(noisy.predicted[row]), names)}",
            "#b2182b",
        )
        for axis in (left, right):
            axis.title.set_fontsize(6)
    axis_name = first.threshold.ladder.axis
    caption = (
        "One image of each of these classes, without noise (right) and at the first strength above its threshold "
        f"(wrong); the number is the strength: {axis_name}."
    )
    return Picture("first_signs", figure, caption, caption, photographs=True)
