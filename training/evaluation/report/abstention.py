"""Calibration, and what is left of the errors if a network may refuse the images that it is least sure of."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pipelines.store.schema import CLEAN
from training.evaluation.classifiers.metrics import reliability
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.report.contract import Block, Cell, Grid, Picture, Prose, Section, Tone, table
from training.evaluation.report.matrix import named_levels
from training.evaluation.report.style import COLOURS, grid_of_axes
from training.evaluation.report.subjects import Subject

__all__ = ["Refusal", "abstention_section", "risk_coverage", "tuned_threshold"]

Floats = NDArray[np.float64]
WANTED = 0.99
COVERAGES = (1.0, 0.95, 0.9, 0.8)
DASHES = {"min": ":", "avg": "--"}
POINTS = 200


class Refusal(NamedTuple):
    """What a confidence threshold does: the share of images that are answered, and the accuracy among these; None if
    none is answered."""

    answered: float
    accuracy: float | None


def risk_coverage(found: Predictions) -> tuple[Floats, Floats]:
    """(N,) each: coverage 1/N … 1, and the share of errors among the images answered, the surest first (R. El-Yaniv,
    Y. Wiener, "On the foundations of noise-free selective classification", JMLR 11, 2010). Images of equal confidence
    are in order of their ids."""
    order = np.argsort(-found.confidences, kind="stable")
    answered = np.arange(1, len(order) + 1)
    return answered / len(order), np.cumsum(~found.right[order]) / answered


def tuned_threshold(clean: Predictions, wanted: float = WANTED) -> float | None:
    """The smallest confidence from which on at least `wanted` of the answered clean images are right; None if there is
    none."""
    order = np.argsort(-clean.confidences, kind="stable")
    confidences = clean.confidences[order]
    last_of_equals = np.append(confidences[1:] < confidences[:-1], True)
    enough = np.flatnonzero((risk_coverage(clean)[1] <= 1 - wanted) & last_of_equals)
    return float(confidences[enough[-1]]) if len(enough) else None


def refused(found: Predictions, threshold: float) -> Refusal:
    answered = found.confidences >= threshold
    return Refusal(float(answered.mean()), float(found.right[answered].mean()) if answered.any() else None)


def abstention_section(subjects: Sequence[Subject]) -> Section:
    """Of the first seed of each subject, since a confidence belongs to one network."""
    variants = named_levels(subjects)
    said = (
        f"The first network of each recipe. The threshold is the smallest confidence from which on {WANTED:.0%} of "
        "the answered clean images are right. It is chosen on the clean images of this very split, so it is a little "
        "optimistic there; noisy images had no part in it. A network that knows what it does not know answers fewer "
        "images under noise, and stays right about those."
    ).replace("%", " %")
    blocks: list[Block] = [Prose([said]), _grid(subjects, variants)]
    if any(variant != CLEAN for variant in variants):
        blocks.append(_picture(subjects, variants))
    return Section("abstention", "Does it know when it is wrong?", blocks)


def _grid(subjects: Sequence[Subject], variants: Sequence[str]) -> Grid:
    rows, data = [], []
    for variant in variants:
        cells = [Cell(variant)]
        for subject in subjects:
            if variant not in subject.found:
                cells.append(Cell("not shown"))
                continue
            row = _row(subject, variant)
            data.append(row)
            cells.append(_cell(row))
        rows.append(cells)
    caption = (
        "Images answered at the threshold, and the share of these that is right. Below: expected calibration error "
        "(ECE), and errors over all coverages (AURC); of both, less is better."
    )
    header = ["variant", *(subject.label for subject in subjects)]
    return Grid("abstention", caption, header, rows, table(data, {"images"}, {"subject", "model", "variant"}))


def _row(subject: Subject, variant: str) -> dict[str, Any]:
    found = subject.found[variant][0]
    threshold = tuned_threshold(subject.found[CLEAN][0]) if CLEAN in subject.found else None
    at_threshold = Refusal(float("nan"), None) if threshold is None else refused(found, threshold)
    _, risks = risk_coverage(found)
    right_at = {
        f"accuracy_at_{100 * coverage:.0f}": 1 - float(risks[max(0, round(coverage * len(risks)) - 1)])
        for coverage in COVERAGES
    }
    return {
        "subject": subject.label, "model": subject.models[0], "variant": variant, "images": len(found.labels),
        "threshold": threshold, "answered": at_threshold.answered, "accuracy_answered": at_threshold.accuracy,
        "ece": reliability(found).ece, "aurc": float(risks.mean()), **right_at,
    }  # fmt: skip


def _cell(row: dict[str, Any]) -> Cell:
    note = f"ECE {row['ece']:.3f}, AURC {row['aurc']:.3f}"
    if row["threshold"] is None:
        return Cell("no such threshold", note)
    if row["accuracy_answered"] is None:
        return Cell("none answered", note)
    accuracy = row["accuracy_answered"]
    tone: Tone = "good" if accuracy >= WANTED - 0.01 else "bad" if accuracy < 0.9 else "plain"
    return Cell(f"{100 * row['answered']:.0f} % answered, {100 * accuracy:.1f} % right", note, tone=tone)


def _picture(subjects: Sequence[Subject], variants: Sequence[str]) -> Picture:
    recorded = {variant: found[0].recorded for one in subjects for variant, found in one.found.items()}
    noises = list(dict.fromkeys(recorded[variant].noise for variant in variants if variant != CLEAN))
    figure, axes = grid_of_axes(len(noises), 3, (3.4, 3.0))
    for axis, noise in zip(axes, noises, strict=True):
        for number, subject in enumerate(subjects):
            for variant in (CLEAN, *(one for one in variants if recorded[one].noise == noise)):
                if variant in subject.found:
                    _draw(axis, subject, variant, number)
        axis.set(title=noise, xlim=(0, 100), ylim=(0, None), xlabel="images answered, %")
        axis.grid(visible=True)
    axes[0].set_ylabel("errors among them, %")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    caption = (
        "Errors among the answered images over the share that is answered, the surest first; thin: clean, dotted: "
        "min, dashed: avg, solid: max and others."
    )
    return Picture("risk_coverage", figure, caption, caption)


def _draw(axis: Axes, subject: Subject, variant: str, number: int) -> None:
    found = subject.found[variant][0]
    coverages, risks = risk_coverage(found)
    places = np.unique(np.linspace(len(risks) // 50, len(risks) - 1, POINTS).astype(int))
    clean = variant == CLEAN
    axis.plot(
        100 * coverages[places], 100 * risks[places], DASHES.get(found.recorded.level, "-"),
        color=COLOURS[number % len(COLOURS)], linewidth=0.7 if clean else 1.4, label=subject.label if clean else None,
    )  # fmt: skip
