"""Is the next network safer? Two recipes on the same images, noise by noise."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipelines.store.shown import Shown
from training.evaluation.classifiers.metrics import confusion
from training.evaluation.classifiers.predicting import Predictions, on_same_images
from training.evaluation.report.contract import Block, Cell, Grid, Picture, Prose, Section, Tone
from training.evaluation.report.matrix import named_levels
from training.evaluation.report.subjects import Subject
from training.evaluation.robustness.comparison import Comparison, compare_sides

__all__ = ["change_sections", "compared", "said_of"]

TONES: Mapping[str, Tone] = {"better": "good", "worse": "bad", "not shown": "unclear"}
LEAST_CLASSES_NAMED = 60


def compared(
    predictions: Mapping[tuple[str, str], Predictions], subjects: Sequence[Subject]
) -> list[tuple[Subject, Subject, Comparison]]:
    """Every later subject against the first, on clean images, on the named levels of noises, and under attack: finer
    strengths would count one noise many times."""
    first, named = subjects[0], set(named_levels(subjects))
    chosen = {
        place: found for place, found in predictions.items() if found.attack is not None or found.shown.variant in named
    }
    return [(first, other, compare_sides(chosen, first.models, other.models)) for other in subjects[1:]]


def said_of(before: Subject, after: Subject, found: Comparison) -> list[str]:
    """The sentences of a comparison, with letters for the names of all networks."""
    names = {", ".join(one.models): one.letter for one in (before, after)}
    longest_first = sorted(names, key=len, reverse=True)

    def short(sentence: str) -> str:
        for name in longest_first:
            sentence = sentence.replace(name, names[name])
        return sentence

    return [short(sentence) for sentence in found.sentences]


def change_sections(comparisons: Sequence[tuple[Subject, Subject, Comparison]]) -> list[Section]:
    return [_section(before, after, found) for before, after, found in comparisons]


def _section(before: Subject, after: Subject, found: Comparison) -> Section:
    title = f"Is {after.letter} safer than {before.letter}?"
    key = f"change-{before.letter}-{after.letter}"
    blocks: list[Block] = [Prose(said_of(before, after, found), listed=True)]
    if found.table.num_rows:
        blocks.append(_grid(before, after, found))
        noisy = [Shown(row["noise"], row["level"]) for row in found.table.to_pylist() if row["noise"] != "none"]
        variants = [one.variant for one in noisy if one.variant in before.found and one.variant in after.found]
        if variants:
            blocks.append(_picture(before, after, variants))
    return Section(key, title, blocks)


def _grid(before: Subject, after: Subject, found: Comparison) -> Grid:
    rows = []
    for row in found.table.to_pylist():
        variant = Shown(row["noise"], row["level"]).variant
        difference, low, high = (100 * row[name] for name in ("difference", "low", "high"))
        verdict = Cell(row["verdict"], tone=TONES[row["verdict"]])
        lost, won = _flips(before, after, variant)
        rows.append(
            [
                Cell(variant), Cell(f"{100 * row['accuracy_before']:.1f}"), Cell(f"{100 * row['accuracy_after']:.1f}"),
                Cell(f"{difference:+.1f}", f"{low:+.1f} to {high:+.1f}"), verdict, Cell(won),
                Cell(lost),
            ]
        )  # fmt: skip
    caption = (
        "Points of accuracy, with the 95 % interval over objects and seeds; the verdict is by the gate's tests, "
        "corrected for the number of variants. The last columns count images (mean over pairs of seeds)."
    )
    header = [
        "variant", f"{before.letter}, %", f"{after.letter}, %", "difference", f"{after.letter} is",
        f"wrong under {before.letter}, right under {after.letter}",
        f"right under {before.letter}, wrong under {after.letter}",
    ]  # fmt: skip
    return Grid(f"change_{before.letter}_{after.letter}", caption, header, rows, found.table)


def _flips(before: Subject, after: Subject, variant: str) -> tuple[str, str]:
    """Images lost, and images won; not of adversarial images, which are other images for each network."""
    if variant not in before.found or variant not in after.found:
        return "", ""
    pairs = [on_same_images(one, other) for one in before.found[variant] for other in after.found[variant]]
    lost = np.mean([(one.right & ~other.right).sum() for one, other in pairs])
    won = np.mean([(~one.right & other.right).sum() for one, other in pairs])
    return f"{lost:,.0f}", f"{won:,.0f}"


def _shares(subject: Subject, variants: Sequence[str]) -> NDArray[np.float64]:
    """(classes, classes): the share of a label's images, over all variants and seeds, that are predicted as a class."""
    matrix = sum(confusion(one).astype(np.float64) for variant in variants for one in subject.found[variant])
    assert isinstance(matrix, np.ndarray)
    shares: NDArray[np.float64] = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return shares


def _picture(before: Subject, after: Subject, variants: Sequence[str]) -> Picture:
    names = before.found[variants[0]][0].class_names
    difference = 100 * (_shares(after, variants) - _shares(before, variants))
    classes = len(names)
    figure = Figure(figsize=(max(4.0, 0.17 * classes + 3.2), max(3.4, 0.17 * classes + 1.6)), layout="constrained")
    axis = figure.subplots()
    most = max(1.0, float(np.abs(difference).max()))
    off = ~np.eye(classes, dtype=bool)
    toned = np.where(off, -difference, difference)  # fewer confusions are as good as more right images
    drawn = axis.imshow(toned, cmap="PuOr", norm=TwoSlopeNorm(0, -most, most), interpolation="nearest")
    ticks = range(classes)
    axis.set_xticks(ticks, [str(label) for label in ticks], fontsize=6, rotation=90)
    axis.set_yticks(ticks, [f"{_short(name)}  {label}" for label, name in enumerate(names)], fontsize=6)
    axis.set(xlabel="predicted class", ylabel="label")
    figure.colorbar(drawn, ax=axis, label=f"points for {after.letter}: better above 0", fraction=0.04, pad=0.02)
    caption = (
        f"Confusions of {after.letter} minus those of {before.letter}, in points of a label's images over "
        f"{len(variants)} noisy variants. On the diagonal more is better, elsewhere less: violet cells are better for "
        f"{after.letter}, orange ones worse."
    )
    return Picture(f"confusion_change_{before.letter}_{after.letter}", figure, caption, caption)


def _short(name: str, longest: int = 34) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
