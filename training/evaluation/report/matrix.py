"""The accuracy of every recipe under every noise, and the errors relative to those of the first one."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.stats import rankdata

from pipelines.noise import Strength
from pipelines.store.schema import CLEAN
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.classifiers.variants import LEVELS
from training.evaluation.intervals.clusters import group_sums
from training.evaluation.report.contract import Block, Cell, Grid, Picture, Prose, Section, Tone, table
from training.evaluation.report.style import COLOURS, MARKERS, grid_of_axes
from training.evaluation.report.subjects import Subject

__all__ = ["matrix_section", "named_levels", "relative_errors"]

DRAWS, SEED = 1000, 0
LEAST_RANKED = 4
WHOLE = {"seeds", "images", "groups"}
TEXTS = {"subject", "models", "variant", "quantity", "unit", "counted", "dataset_digest", "relative_to", "noise"}
EQUAL = Cell("undefined", "all noises are equally bad for one of them")


def matrix_section(subjects: Sequence[Subject]) -> Section:
    everything = list(dict.fromkeys(variant for subject in subjects for variant in subject.found))
    shown = named_levels(subjects)
    blocks: list[Block] = [_accuracies(subjects, shown, everything)]
    if hidden := len(everything) - len(shown):
        blocks.append(Prose([f"{hidden} further strengths are in the file accuracy.csv, and in the curves below."]))
    if len(subjects) > 1:
        blocks.append(_relative(subjects))
    if any(one[0].snr_db is not None for subject in subjects for one in subject.found.values()):
        blocks.append(_over_snr(subjects))
    blocks += _ranks(subjects, [variant for variant in shown if variant != CLEAN])
    return Section("matrix", "Accuracy by noise and level", blocks)


def named_levels(subjects: Sequence[Subject]) -> list[str]:
    """The variants without the finer strengths of noises that have named levels."""
    recorded = {variant: found[0].recorded for one in subjects for variant, found in one.found.items()}
    named = {shown.noise for shown in recorded.values() if shown.level in LEVELS}
    return [variant for variant, shown in recorded.items() if shown.noise not in named or shown.level in LEVELS]


def _accuracies(subjects: Sequence[Subject], shown: Sequence[str], everything: Sequence[str]) -> Grid:
    """Rows are variants. A cell says the mean over seeds, and the interval over objects and seeds."""
    data: list[dict[str, Any]] = []
    cells: dict[tuple[str, str], Cell] = {}
    for subject in subjects:
        for variant in (one for one in everything if one in subject.found):
            found, interval = subject.found[variant], subject.accuracy(variant)
            values = [float(one.right.mean()) for one in found]
            sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
            data.append(
                {
                    "subject": subject.label, "models": ", ".join(subject.models), "variant": variant,
                    **_strength(found[0]), "snr_db": found[0].snr_db,
                    "seeds": len(found), "accuracy": interval.value, "sd": sd, "low": interval.low,
                    "high": interval.high, "images": interval.images, "groups": interval.groups,
                    "design_effect": interval.design_effect, "counted": interval.unit,
                    "dataset_digest": found[0].dataset_digest,
                }
            )  # fmt: skip
            assert interval.value is not None and interval.low is not None and interval.high is not None
            spread = "" if sd is None else f" ± {100 * sd:.1f}"
            note = f"{100 * interval.low:.1f} – {100 * interval.high:.1f}"
            cells[variant, subject.letter] = Cell(f"{100 * interval.value:.1f}{spread}", note, interval.value)
    rows = [
        [_variant_cell(subjects, variant), *(cells.get((variant, one.letter), Cell("not shown")) for one in subjects)]
        for variant in shown
    ]
    caption = (
        "Images right, %; of several seeds mean ± standard deviation. Below: 95 % interval over physical objects and "
        "seeds."
    )
    header = ["noise and level", *(f"{one.label} ({one.seeds_said})" for one in subjects)]
    return Grid("accuracy", caption, header, rows, table(data, WHOLE, TEXTS))


def _strength(found: Predictions) -> dict[str, Any]:
    if found.noise is None:
        return dict.fromkeys(Strength._fields)
    return found.noise.strength._asdict()


def _variant_cell(subjects: Sequence[Subject], variant: str) -> Cell:
    found = next(one.found[variant][0] for one in subjects if variant in one.found)
    notes = [] if found.noise is None else [found.noise.strength.text]
    if found.snr_db is not None and found.noise is not None:
        notes.append(f"{found.snr_db:.1f} dB")
    return Cell(variant, "; ".join(notes))


def relative_errors(first: Subject, other: Subject) -> tuple[dict[str, float], dict[str, float]]:
    """By noise, the errors of `other` over its levels divided by those of `first`, and the same of the errors that the
    noise adds to those on clean images (D. Hendrycks, T. Dietterich, "Benchmarking neural network robustness to common
    corruptions and perturbations", ICLR 2019: corruption error and relative corruption error). Levels that both were
    shown; a ratio by zero is left out."""
    plain: dict[str, float] = {}
    added: dict[str, float] = {}
    common = [variant for variant in first.found if variant in other.found and first.found[variant][0].noise]
    for noise in dict.fromkeys(first.found[variant][0].recorded.noise for variant in common):
        levels = [variant for variant in common if first.found[variant][0].recorded.noise == noise]
        base, own = (sum(_error(subject, variant) for variant in levels) for subject in (first, other))
        if base > 0:
            plain[noise] = own / base
        if CLEAN in first.found and CLEAN in other.found:
            base, own = (
                total - len(levels) * _error(subject, CLEAN) for total, subject in ((base, first), (own, other))
            )
            if base > 0:
                added[noise] = own / base
    return plain, added


def _error(subject: Subject, variant: str) -> float:
    return 1 - float(np.mean([one.right.mean() for one in subject.found[variant]]))


def _relative(subjects: Sequence[Subject]) -> Grid:
    first, *others = subjects
    found = {one.letter: relative_errors(first, one) for one in others}
    noises = list(dict.fromkeys(noise for plain, _ in found.values() for noise in plain))
    rows = [
        [Cell(noise), *(_ratio(found[one.letter][0].get(noise), found[one.letter][1].get(noise)) for one in others)]
        for noise in noises
    ]
    means = [[float(np.mean(list(kind.values()))) if kind else None for kind in found[one.letter]] for one in others]
    rows.append([Cell("mean over noises"), *(_ratio(*both) for both in means)])
    data = [
        {"subject": one.label, "relative_to": first.label, "noise": noise,
         "error_ratio": found[one.letter][0].get(noise),
         "added_error_ratio": found[one.letter][1].get(noise)}
        for one in others for noise in noises
    ]  # fmt: skip
    caption = (
        f"Errors over the levels of a noise, as a share of those of {first.label} (corruption error; below 100 % is "
        "better). Below: the same of the errors that the noise adds to the clean ones (relative corruption error)."
    )
    return Grid("relative_errors", caption, ["noise", *(one.label for one in others)], rows, table(data, WHOLE, TEXTS))


def _ratio(plain: float | None, added: float | None) -> Cell:
    tone: Tone = "plain" if plain is None or round(plain, 2) == 1 else "good" if plain < 1 else "bad"
    text, note = ("no errors to compare with" if one is None else f"{100 * one:.0f} %" for one in (plain, added))
    return Cell(text, note, tone=tone)


def _over_snr(subjects: Sequence[Subject]) -> Picture:
    figure, axes = grid_of_axes(len(subjects), 3, (3.6, 3.2))
    noises = list(
        dict.fromkeys(found[0].recorded.noise for one in subjects for found in one.found.values() if found[0].noise)
    )
    for axis, subject in zip(axes, subjects, strict=True):
        for number, noise in enumerate(noises):
            _draw_over_snr(axis, subject, noise, number)
        axis.set(title=subject.label, ylim=(0, 102), xlabel="signal-to-noise ratio, dB")
        axis.invert_xaxis()
        axis.grid(visible=True)
    axes[0].set_ylabel("accuracy, %")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(noises)))
    caption = "Accuracy over the mean signal-to-noise ratio, more noise to the right: noises of all units on one axis."
    return Picture("accuracy_over_snr_db", figure, caption, caption)


def _draw_over_snr(axis: Axes, subject: Subject, noise: str, number: int) -> None:
    points = sorted(
        (found[0].snr_db, 100 * (1 - _error(subject, variant)))
        for variant, found in subject.found.items()
        if found[0].recorded.noise == noise and found[0].snr_db is not None
    )
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]
    ratios, accuracies = ([one[place] for one in points] for place in (0, 1))
    axis.plot(ratios, accuracies, color=colour, marker=marker, markersize=4, linewidth=1, label=noise)


def _ranks(subjects: Sequence[Subject], variants: Sequence[str]) -> list[Block]:
    """Do the noises that are worst for one network also come first for another? With an interval over objects."""
    rows = []
    for one, other in combinations(subjects, 2):
        common = [variant for variant in variants if variant in one.found and variant in other.found]
        if len(common) >= LEAST_RANKED:
            value, low, high = _rank_correlation(one.found, other.found, common)
            pair = Cell(f"{one.letter} and {other.letter}")
            rows.append([pair, Cell(f"{value:.2f}", f"{low:.2f} – {high:.2f}") if np.isfinite(value) else EQUAL])
    if not rows:
        return []
    caption = (
        "Rank correlation of the accuracies under all noises and levels: 1 where the same noises are the worst for "
        "both; below, the 95 % interval over physical objects."
    )
    return [Grid("rank_correlation", caption, ["networks", "Spearman's ρ"], rows)]


def _rank_correlation(
    one: Mapping[str, Sequence[Predictions]], other: Mapping[str, Sequence[Predictions]], variants: Sequence[str]
) -> tuple[float, float, float]:
    """Spearman's, with the percentiles of a bootstrap over the objects; each image where they are unknown."""
    first = one[variants[0]][0]
    codes = np.arange(len(first.labels)) if first.units.codes is None else first.units.codes
    right = [
        np.array([group_sums(codes, np.mean([seed.right for seed in side[variant]], axis=0)) for variant in variants])
        for side in (one, other)
    ]  # (variants, groups) of each side
    value = _spearman(*(sums.sum(axis=1)[None] for sums in right))[0]
    random = np.random.default_rng(SEED)
    groups = right[0].shape[1]
    times = random.multinomial(groups, np.full(groups, 1 / groups), DRAWS).astype(np.float64)
    drawn = _spearman(*(times @ sums.T for sums in right))
    low, high = np.nanquantile(drawn, [0.025, 0.975]) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return float(value), float(low), float(high)


def _spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B,): of each row of (B, V); NaN where all are equal. scipy.stats.spearmanr takes one row at a time."""
    ranks = [rankdata(rows, axis=1) for rows in (one, other)]
    centred = [rows - rows.mean(axis=1, keepdims=True) for rows in ranks]
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = (centred[0] * centred[1]).sum(axis=1) / np.sqrt(
            np.prod([(rows**2).sum(axis=1) for rows in centred], axis=0)
        )
    return found
