"""Decides whether a challenger replaces the champion, from all cells of the matrix of clean, noisy and attacked
images."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.errors import RoadsignError
from pipelines.settings import AddedLater, Settings
from pipelines.store.schema import CLEAN
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.intervals.holm import holm
from training.evaluation.intervals.pairs import Pairs, Side
from training.retraining.decision import Compared, Decision, Verdict

__all__ = ["Gate", "GateError", "Seeds"]

MAX_NAMED = 3
Seeds = Sequence[Mapping[str, Predictions]]
"""The predictions of each seed of a contender, by cell."""


class GateError(RoadsignError):
    """Champion and challenger were not evaluated in the same way."""


class Gate(Settings):
    """The challenger is promoted if no cell is worse, at least one is better, and no flag is raised.

    A cell is worse if its accuracy is significantly below the champion's minus `margin`, and better if it is
    significantly above the champion's. The accuracies are means over the seeds of each side, signs are independent
    (intervals.pairs), and both are tested over all cells together (intervals.holm) at `significance`. How often another
    seed of the same recipe is promoted or refused as worse depends on the number of seeds: docs/operations.md has the
    simulated rates, which are above `significance` with fewer than three seeds on a side.

    Without a champion the challenger is promoted if no flag is raised and the 95 % interval of its accuracy on clean
    images lies above `minimum_accuracy`."""

    margin: float = Field(default=0.005, ge=0, lt=1)
    significance: float = Field(default=0.05, gt=0, lt=0.5)
    minimum_accuracy: Annotated[float, AddedLater(before=0.0)] = Field(default=0.8, ge=0, lt=1)

    def decide(
        self, champion: Seeds | None, challenger: Seeds, flags: Sequence[str] = (),
        trained_on: frozenset[str] | None = frozenset(),
    ) -> Decision:  # fmt: skip
        """Decides from the predictions of both, None if there is no champion, and the flags (flags.find_flags). Groups
        with images among `trained_on`, which the champion was trained on, are left out, and counted in a note; None: it
        is not known which. Raises GateError if the two do not have the same cells, or were shown different images in
        one."""
        shown = _check_cells(champion or challenger, challenger)
        if champion is None:
            return self._first({cell: _side(challenger, cell, found) for cell, found in shown.items()}, flags)
        kept = {cell: _kept(found, trained_on or frozenset()) for cell, found in shown.items()}
        pairs = {
            cell: Pairs(_side(champion, cell, found, kept[cell]), _side(challenger, cell, found, kept[cell]))
            for cell, found in shown.items()
        }
        worse = [pair.p_worse(self.margin) for pair in pairs.values()]
        better = [pair.p_better() for pair in pairs.values()]
        p_values = zip(worse, holm(worse).tolist(), better, holm(better).tolist(), strict=True)
        cells = tuple(
            self._compared(cell, pair, *four) for (cell, pair), four in zip(pairs.items(), p_values, strict=True)
        )
        reasons = self._reasons_against(cells, flags)
        left_out = len(np.unique(_groups(CLEAN, shown[CLEAN])[~kept[CLEAN]]))
        notes = _notes(len(champion), len(challenger), left_out)
        if trained_on is None:
            notes.append("it is not known which images the champion was trained on, so none is left out")
        return _decision(not reasons, reasons or [self._reason_for(cells)], cells, flags, notes)

    def _first(self, sides: Mapping[str, Side], flags: Sequence[str]) -> Decision:
        cells = tuple(self._alone(cell, side) for cell, side in sides.items())
        reasons = [
            f"the 95 % interval of the accuracy on clean images, {one.challenger_low:.2%} to "
            f"{one.challenger_high:.2%}, is not above gate.minimum_accuracy={self.minimum_accuracy:g}"
            for one in cells
            if one.verdict == "below the minimum"
        ]
        reasons += _unreliable(flags)
        notes = _notes(None, sides[CLEAN].seeds, 0)
        return _decision(not reasons, reasons or ["there was no champion"], cells, flags, notes)

    def _alone(self, cell: str, side: Side) -> Compared:
        found = side.interval()
        below = cell == CLEAN and _number(found.low) < self.minimum_accuracy
        return Compared(
            cell=cell, unit=found.unit, images=side.images, groups=side.groups, champion_seeds=0,
            challenger_seeds=side.seeds, challenger=side.accuracy, challenger_low=_number(found.low),
            challenger_high=_number(found.high), design_effect=found.design_effect,
            verdict="below the minimum" if below else "no champion",
        )  # fmt: skip

    def _compared(
        self, cell: str, pair: Pairs, p_worse: float, worse_corrected: float, p_better: float, better_corrected: float
    ) -> Compared:
        verdict: Verdict = "no difference"
        if worse_corrected < self.significance:
            verdict = "worse"
        elif better_corrected < self.significance:
            verdict = "better"
        before, after, own, (low, high) = pair.champion, pair.challenger, pair.challenger.interval(), pair.interval()
        return Compared(
            cell=cell, unit=own.unit, images=after.images, groups=after.groups, champion_seeds=before.seeds,
            challenger_seeds=after.seeds, champion=before.accuracy, challenger=after.accuracy,
            challenger_low=_number(own.low), challenger_high=_number(own.high), difference=pair.difference, low=low,
            high=high, design_effect=pair.design_effect, p_worse=p_worse, p_worse_corrected=worse_corrected,
            p_better=p_better, p_better_corrected=better_corrected, verdict=verdict,
        )  # fmt: skip

    def _reasons_against(self, cells: Sequence[Compared], flags: Sequence[str]) -> list[str]:
        worse = [one for one in cells if one.verdict == "worse"]
        reasons = []
        if worse:
            reasons.append(f"below the champion by {self._bound} on {_named(worse, len(cells), 'p_worse_corrected')}")
        reasons += _unreliable(flags)
        if not any(one.verdict == "better" for one in cells):
            reasons.append(f"not significantly better than the champion on any of {len(cells)} cells")
        return reasons

    def _reason_for(self, cells: Sequence[Compared]) -> str:
        better = [one for one in cells if one.verdict == "better"]
        named = _named(better, len(cells), "p_better_corrected")
        return f"better than the champion on {named}, and on none below it by {self._bound}"

    @property
    def _bound(self) -> str:
        return f"more than {100 * self.margin:g} points" if self.margin else "any amount"


def _number(value: float | None) -> float:
    assert value is not None, "there is an image, so there is an interval"
    return value


def _unreliable(flags: Sequence[str]) -> list[str]:
    more = f", and {len(flags) - 1} more" if len(flags) > 1 else ""
    return [f"the evaluation is unreliable ({flags[0]}{more})"] if flags else []


def _notes(champion: int | None, challenger: int, left_out: int) -> list[str]:
    """What limits a decision; the counts are those of seeds, and of signs that were left out."""
    notes = []
    if max(champion or 1, challenger) == 1:
        notes.append("one seed on each side: the spread between seeds is unknown, and not in the p-values")
    if champion == 1 < challenger or (challenger == 1 and (champion or 1) > 1):
        notes.append("one side has a single seed: its spread is taken from the other side")
    if left_out:
        notes.append(f"{left_out} groups were left out, since the champion was trained on them")
    return notes


def _decision(
    promoted: bool, reasons: Sequence[str], cells: tuple[Compared, ...], flags: Sequence[str], notes: Sequence[str]
) -> Decision:
    verdict = "Promoted" if promoted else "Not promoted"
    sentence = f"{verdict}: {'; '.join(reasons)}. {_accuracies(cells)}"
    return Decision(promoted, sentence, cells, tuple(flags), tuple(reasons), tuple(notes))


def _check_cells(champion: Seeds, challenger: Seeds) -> dict[str, Predictions]:
    """The predictions of the challenger's first seed, which all others must have been made like. Raises GateError."""
    cells = dict.fromkeys(cell for seed in (*challenger, *champion) for cell in seed)
    for which, seeds in (("challenger", challenger), ("champion", champion)):
        for seed in seeds:
            if missing := [cell for cell in cells if cell not in seed]:
                raise GateError(
                    f"the {which} was not evaluated on {', '.join(missing)}; evaluate both on the same variants"
                )
    if CLEAN not in cells:
        raise GateError(f"neither was evaluated on {CLEAN} images; evaluate both on them too")
    return {cell: challenger[0][cell] for cell in cells}


def _groups(cell: str, found: Predictions) -> NDArray[np.str_]:
    """Raises GateError."""
    if found.groups is None:
        raise GateError(
            f"{cell}: it is not known which images show one sign, so errors cannot be counted; use split=validation"
        )
    return found.groups


def _kept(found: Predictions, trained_on: frozenset[str]) -> NDArray[np.bool_]:
    """Which images show signs that the champion was not trained on."""
    groups = _groups(found.variant, found)
    known = np.isin(found.image_ids, np.array(sorted(trained_on), np.str_))
    return ~np.isin(groups, groups[known])


def _side(seeds: Seeds, cell: str, like: Predictions, kept: NDArray[np.bool_] | None = None) -> Side:
    """Raises GateError."""
    rows = np.ones(len(like.image_ids), np.bool_) if kept is None else kept
    if not rows.any():
        why = "no images" if kept is None or not len(rows) else "the champion was trained on all signs"
        raise GateError(f"{cell}: {why}; evaluate both on a split that has others")
    for seed in seeds:
        for what in ("image_ids", "labels"):
            if not np.array_equal(getattr(like, what), getattr(seed[cell], what)):
                raise GateError(
                    f"{cell}: champion and challenger were shown images with other {what}; evaluate both on one "
                    "dataset, and attack both with the same splits and data.images"
                )
    return Side(np.array([seed[cell].right[rows] for seed in seeds]), _groups(cell, like)[rows], like.recovered)


def _named(cells: Sequence[Compared], of: int, p: str) -> str:
    """The cells with the largest differences, in points of accuracy."""
    first = sorted(cells, key=lambda one: -abs(one.difference or 0.0))[:MAX_NAMED]
    named = ", ".join(
        f"{one.cell} ({100 * (one.difference or 0.0):+.2f} points, p = {getattr(one, p):.1g})" for one in first
    )
    more = f" and {len(cells) - len(first)} more" if len(cells) > len(first) else ""
    return f"{len(cells)} of {of} cells: {named}{more}"


def _accuracies(cells: Sequence[Compared]) -> str:
    """The accuracy on clean images, and the lowest one."""
    clean = next(one for one in cells if one.cell == CLEAN)
    than = "" if clean.champion is None else f" (the champion's {clean.champion:.2%})"
    lowest = min(cells, key=lambda one: one.challenger)
    return (
        f"Clean accuracy {clean.challenger:.2%}{than}; lowest of {len(cells)} cells {lowest.challenger:.2%} on "
        f"{lowest.cell}."
    )
