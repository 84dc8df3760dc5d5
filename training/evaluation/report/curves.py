"""Failure thresholds: at which strength each noise breaks each recipe."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes

from training.evaluation.report.contract import Block, Cell, Grid, Picture, Prose, Section, table
from training.evaluation.report.style import COLOURS, MARKERS, grid_of_axes
from training.evaluation.report.subjects import Subject
from training.evaluation.robustness.ladders import Ladder, find_ladders
from training.evaluation.robustness.thresholds import (
    LEAST_STRENGTHS,
    Criterion,
    Threshold,
    find_threshold,
    ladder_of,
)

__all__ = ["Failure", "find_failures", "threshold_section"]

MISFIT = 0.03
TEXTS = {"subject", "models", "noise", "quantity", "unit", "counted"}
MAKE_LADDER = (
    "uv run spark-submit jobs/make_noisy_datasets.py noise=ladder variants=noisy 'splits=[test]' with the data set's "
    "own dataset.root, geometry and sizes_px"
)


class Failure(NamedTuple):
    """`snr_db` is the mean signal-to-noise ratio at the threshold; None if that is not between strengths that were
    shown, or if ratios were not recorded."""

    subject: Subject
    threshold: Threshold
    snr_db: float | None


def find_failures(subjects: Sequence[Subject], criterion: Criterion) -> list[Failure]:
    """Of each subject under each noise with enough strengths and clean images. Raises EvaluationError."""
    failures = []
    for subject in subjects:
        first = {variant: found[0] for variant, found in subject.found.items()}
        seeds = [{variant: found[seed] for variant, found in subject.found.items()} for seed in range(subject.seeds)]
        for ladder in find_ladders(first):
            if len(ladder.rungs) > LEAST_STRENGTHS and ladder.rungs[0].strength == 0:
                threshold = find_threshold(ladder, ladder_of(ladder, seeds), criterion)
                ratios = {variant: one.snr_db for variant, one in first.items() if one.snr_db is not None}
                failures.append(Failure(subject, threshold, _snr_at(threshold, ratios)))
    return failures


def _snr_at(threshold: Threshold, ratios: Mapping[str, float]) -> float | None:
    """Between the strengths, by a line over the logarithm of the strength, which is exact where nothing is clipped."""
    noisy = [rung for rung in threshold.ladder.rungs if rung.strength > 0 and rung.variant in ratios]
    known = [(math.log(rung.strength), ratios[rung.variant]) for rung in noisy]
    if not threshold.measured or len(known) < 2:
        return None
    return float(np.interp(math.log(threshold.value), *np.array(sorted(known)).T))


def threshold_section(failures: Sequence[Failure], subjects: Sequence[Subject], criterion: Criterion) -> Section:
    title = "From which strength on does it fail?"
    if not failures:
        return Section("thresholds", title, [Prose([_missing(subjects)])])
    said = (
        f"A network counts as failed where its accuracy is below {criterion.text}. The strength at which this happens "
        "is read from a psychometric function (clean errors, middle, slope, errors under endless noise) fitted to "
        "the accuracies at all strengths; its 95 % interval is over physical objects, and over seeds where there are "
        "several. The ratio is the mean signal-to-noise ratio of the images at that strength: by it, noises with "
        "different units can be compared."
    )
    blocks: list[Block] = [Prose([said]), _grid(failures), _picture(failures, criterion)]
    if notes := [*_misfits(failures), *_coarse(failures)]:
        blocks.append(Prose(notes, listed=True))
    return Section("thresholds", title, blocks)


def _missing(subjects: Sequence[Subject]) -> str:
    most = max((len(ladder.rungs) for one in subjects for ladder in _ladders(one)), default=0)
    return (
        f"No threshold: it needs clean images and {LEAST_STRENGTHS} strengths of one noise, and there are {most} "
        f"variants of one at most. To make more: {MAKE_LADDER}."
    )


def _ladders(subject: Subject) -> list[Ladder]:
    return find_ladders({variant: found[0] for variant, found in subject.found.items()})


def _grid(failures: Sequence[Failure]) -> Grid:
    subjects = list({failure.subject.letter: failure.subject for failure in failures}.values())
    by_noise: dict[str, dict[str, Failure]] = {}
    for failure in failures:
        by_noise.setdefault(failure.threshold.ladder.name, {})[failure.subject.letter] = failure
    rows = []
    for noise, found in by_noise.items():
        axis = next(iter(found.values())).threshold.ladder.axis
        rows.append([Cell(noise, axis), *(_cell(found.get(subject.letter)) for subject in subjects)])
    header = ["noise", *(subject.label for subject in subjects)]
    return Grid("thresholds", "Strength at which each network fails, with 95 % interval", header, rows, _data(failures))


def _cell(failure: Failure | None) -> Cell:
    if failure is None:
        return Cell("not shown")
    note = failure.threshold.interval_text
    if failure.snr_db is not None:
        note += f"; {failure.snr_db:.1f} dB"
    return Cell(failure.threshold.text, note)


def _data(failures: Sequence[Failure]) -> pa.Table:
    return table([_row(one) for one in failures], {"seeds", "images", "groups"}, TEXTS)


def _row(failure: Failure) -> dict[str, Any]:
    found, ladder = failure.threshold, failure.threshold.ladder
    curve = {name: float(column[0]) for name, column in found.fits._asdict().items()}
    return {
        "subject": failure.subject.label, "models": ", ".join(failure.subject.models), "noise": ladder.name,
        "quantity": ladder.quantity, "unit": ladder.unit, "threshold": found.value, "low": found.low,
        "high": found.high, "weakest": ladder.weakest, "strongest": ladder.strongest, "snr_db": failure.snr_db, **curve,
        "misfit": found.misfit, "seeds": found.seeds, "images": found.images, "groups": found.groups,
        "counted": found.unit,
    }  # fmt: skip


def _picture(failures: Sequence[Failure], criterion: Criterion) -> Picture:
    noises = list(dict.fromkeys(failure.threshold.ladder.name for failure in failures))
    figure, axes = grid_of_axes(len(noises), 3, (3.6, 3.3))
    for axis, noise in zip(axes, noises, strict=True):
        _draw(axis, [failure for failure in failures if failure.threshold.ladder.name == noise], criterion)
        axis.set_title(noise)
    axes[0].set_ylabel("accuracy, %")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    caption = (
        "Accuracy over the strength of the noise: points are measured, lines are fitted, and bars at the height of "
        f"{criterion.text} are the thresholds with their 95 % intervals."
    )
    return Picture("thresholds", figure, caption, caption)


def _draw(axis: Axes, failures: Sequence[Failure], criterion: Criterion) -> None:
    for failure in failures:
        found = failure.threshold
        place = ord(failure.subject.letter[-1]) - ord("A")
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        strengths = np.array([rung.strength for rung in found.ladder.rungs])
        dense = np.linspace(0, found.ladder.strongest, 400)
        axis.plot(dense, 100 * (1 - found.fits.errors(dense)[0]), color=colour, linewidth=1.2)
        label = f"{failure.subject.label} ({failure.subject.seeds_said})"
        axis.plot(strengths, 100 * found.accuracies, marker, color=colour, markersize=4, label=label)
        height = 100 * (1 - float(criterion.errors(found.fits)[0]))
        if math.isfinite(found.low):
            ends = [found.low, min(found.high, found.ladder.strongest)]
            axis.plot(ends, [height] * 2, color=colour, linewidth=5, alpha=0.35, solid_capstyle="butt")
        if found.reached:
            axis.plot([found.value] * 2, [height - 4, height + 4], color=colour, linewidth=1.5)
    axis.set(ylim=(0, 102), xlabel=failures[0].threshold.ladder.axis)
    axis.set_xlim(left=0)
    axis.grid(visible=True)


def _misfits(failures: Sequence[Failure]) -> list[str]:
    return [
        f"{one.subject.label}, {one.threshold.ladder.name}: the curve is up to {100 * one.threshold.misfit:.1f} "
        "points away from the accuracies; read the threshold with care"
        for one in failures
        if one.threshold.misfit > MISFIT
    ]


def _coarse(failures: Sequence[Failure]) -> list[str]:
    few = {
        one.threshold.ladder.name: len(one.threshold.ladder.rungs) - 1
        for one in failures
        if len(one.threshold.ladder.rungs) - 1 < 2 * LEAST_STRENGTHS
    }
    if not few:
        return []
    named = ", ".join(f"{noise} ({count})" for noise, count in few.items())
    return [
        f"few strengths: {named}; thresholds between them rest on the form of the curve. For more of the paper's three "
        f"noises: {MAKE_LADDER}; those of others go into a file like conf/noise/ladder.yaml"
    ]
