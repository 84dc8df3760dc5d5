"""Decides whether a challenger replaces the champion, from all cells of the matrix of clean, noisy and attacked
images."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipelines.errors import RoadsignError
from pipelines.settings import Settings
from pipelines.store.schema import CLEAN
from training.evaluation.classifiers.predicting import Predictions
from training.retraining.paired import Pairs, holm

__all__ = ["SCHEMA", "Compared", "Decision", "Gate", "GateError", "Verdict", "cells_of"]

Verdict = Literal["worse", "better", "no difference", "no champion"]
MOST_NAMED = 3
SMALLEST_SHOWN = 1e-99
SCHEMA = pa.schema(
    [
        pa.field("cell", pa.string(), nullable=False),
        pa.field("images", pa.int64(), nullable=False),
        *(
            pa.field(name, pa.float64(), nullable=name != "challenger")
            for name in (
                "champion", "challenger", "difference", "low", "high",
                "p_worse", "p_worse_corrected", "p_better", "p_better_corrected",
            )
        ),
        pa.field("verdict", pa.string(), nullable=False),
    ]
)  # fmt: skip
"""The schema of Decision.table. champion and challenger are accuracies; low and high are the 95 % interval of their
difference. The p-values are one-sided, for the null hypotheses of no loss beyond the margin and of no gain, uncorrected
and corrected for all cells. If there is no champion, all columns but the accuracy of the challenger are null."""


class GateError(RoadsignError):
    """Champion and challenger were not evaluated in the same way."""


class Compared(NamedTuple):
    """One cell, a row of SCHEMA."""

    cell: str
    images: int
    champion: float | None
    challenger: float
    difference: float | None
    low: float | None
    high: float | None
    p_worse: float | None
    p_worse_corrected: float | None
    p_better: float | None
    p_better_corrected: float | None
    verdict: Verdict


class Decision(NamedTuple):
    promoted: bool
    sentence: str
    cells: tuple[Compared, ...]
    flags: tuple[str, ...] = ()

    @property
    def table(self) -> pa.Table:
        return pa.Table.from_pylist([compared._asdict() for compared in self.cells], SCHEMA)


class Gate(Settings):
    """The challenger is promoted if no cell is worse, at least one is better, and no flag is raised.

    A cell is worse if its accuracy is significantly below the champion's minus `margin`, and better if it is
    significantly above the champion's. Both are tested over all cells together (paired.holm): a challenger that is not
    below the margin in any cell is refused with a probability of at most `significance`, and one that is not better in
    any cell is promoted with a probability of at most `significance`."""

    margin: float = Field(default=0.005, ge=0, lt=1)
    significance: float = Field(default=0.05, gt=0, lt=0.5)

    def decide(
        self, champion: Mapping[str, Predictions], challenger: Mapping[str, Predictions], flags: Sequence[str] = ()
    ) -> Decision:
        """Decides from the predictions of both by cell (cells_of) and the flags (flags.find_flags). Raises GateError if
        the two do not have the same cells, or were shown different images in one."""
        _check_cells(champion, challenger)
        pairs = {cell: _pairs(cell, before, challenger[cell]) for cell, before in champion.items()}
        worse = holm([pair.p_worse(self.margin) for pair in pairs.values()])
        better = holm([pair.p_better() for pair in pairs.values()])
        cells = tuple(
            self._compared(cell, champion[cell], challenger[cell], pair, *map(float, corrected))
            for (cell, pair), *corrected in zip(pairs.items(), worse, better, strict=True)
        )
        verdicts = {one.verdict for one in cells}
        promoted = "better" in verdicts and "worse" not in verdicts and not flags
        return Decision(promoted, f"{self._sentence(cells, flags)} {_accuracies(cells)}", cells, tuple(flags))

    def first(self, challenger: Mapping[str, Predictions], flags: Sequence[str] = ()) -> Decision:
        """The decision if there is no champion: promoted unless a flag is raised. Raises GateError."""
        _check_cells(challenger, challenger)
        for cell, found in challenger.items():
            _pairs(cell, found, found)
        cells = tuple(
            Compared(
                cell, len(found.right), None, float(found.right.mean()), None, None, None, None, None, None, None,
                "no champion",
            )
            for cell, found in challenger.items()
        )  # fmt: skip
        sentence = self._sentence(cells, flags) if flags else "Promoted: there was no champion."
        return Decision(not flags, f"{sentence} {_accuracies(cells)}", cells, tuple(flags))

    def _compared(
        self, cell: str, before: Predictions, after: Predictions, pair: Pairs, worse: float, better: float
    ) -> Compared:
        verdict: Verdict = "no difference"
        if worse < self.significance:
            verdict = "worse"
        elif better < self.significance:
            verdict = "better"
        accuracies = float(before.right.mean()), float(after.right.mean())
        return Compared(
            cell, pair.images, *accuracies, pair.difference, *pair.interval(),
            pair.p_worse(self.margin), worse, pair.p_better(), better, verdict,
        )  # fmt: skip

    def _sentence(self, cells: Sequence[Compared], flags: Sequence[str]) -> str:
        worse = [one for one in cells if one.verdict == "worse"]
        better = [one for one in cells if one.verdict == "better"]
        bound = f"more than {100 * self.margin:g} points" if self.margin else "any amount"
        if worse:
            return f"Not promoted: below the champion by {bound} on {_named(worse, len(cells), 'p_worse_corrected')}."
        if flags:
            more = f", and {len(flags) - 1} more" if len(flags) > 1 else ""
            return f"Not promoted: the evaluation is unreliable ({flags[0]}{more})."
        if not better:
            return f"Not promoted: not significantly better than the champion on any of {len(cells)} cells."
        return (
            f"Promoted: better than the champion on {_named(better, len(cells), 'p_better_corrected')}, and on none "
            f"below it by {bound}."
        )


def cells_of(predictions: Mapping[tuple[str, str], Predictions], model: str) -> dict[str, Predictions]:
    """The predictions of a model by variant, from the result of evaluation.evaluate. Images that were made against
    another network are omitted, since they differ between champion and challenger."""
    return {variant: found for (name, variant), found in predictions.items() if name == model and not found.transfer}


def _check_cells(champion: Mapping[str, Predictions], challenger: Mapping[str, Predictions]) -> None:
    for which, has, other in (("challenger", challenger, champion), ("champion", champion, challenger)):
        if missing := [cell for cell in other if cell not in has]:
            raise GateError(
                f"the {which} was not evaluated on {', '.join(missing)}; evaluate both on the same variants"
            )
    if CLEAN not in champion:
        raise GateError(f"neither was evaluated on {CLEAN} images; evaluate both on them too")


def _pairs(cell: str, champion: Predictions, challenger: Predictions) -> Pairs:
    """Raises GateError."""
    if not len(champion.image_ids):
        raise GateError(f"{cell}: no images; evaluate both on a split that has some")
    for what in ("image_ids", "labels"):
        if not np.array_equal(getattr(champion, what), getattr(challenger, what)):
            raise GateError(
                f"{cell}: champion and challenger were shown images with other {what}; evaluate both on one dataset, "
                "and attack both with the same splits and data.images"
            )
    won, lost = challenger.right & ~champion.right, champion.right & ~challenger.right
    return Pairs(len(won), int(won.sum()), int(lost.sum()))


def _named(cells: Sequence[Compared], of: int, p: str) -> str:
    """The cells with the largest differences, in points of accuracy."""
    first = sorted(cells, key=lambda one: -abs(one.difference or 0.0))[:MOST_NAMED]
    named = ", ".join(
        f"{one.cell} ({100 * (one.difference or 0.0):+.2f} points, p {_shown(getattr(one, p))})" for one in first
    )
    more = f" and {len(cells) - len(first)} more" if len(cells) > len(first) else ""
    return f"{len(cells)} of {of} cells: {named}{more}"


def _shown(p: float) -> str:
    """p is never zero, but some values are too small for a float."""
    return f"= {p:.1g}" if p >= SMALLEST_SHOWN else f"< {SMALLEST_SHOWN:g}"


def _accuracies(cells: Sequence[Compared]) -> str:
    """The accuracy on clean images, and the lowest one."""
    clean = next(one for one in cells if one.cell == CLEAN)
    than = "" if clean.champion is None else f" (the champion's {clean.champion:.2%})"
    lowest = min(cells, key=lambda one: one.challenger)
    return (
        f"Clean accuracy {clean.challenger:.2%}{than}; lowest of {len(cells)} cells {lowest.challenger:.2%} on "
        f"{lowest.cell}."
    )
