"""How far each row of a grid differs from its first one, on the same images."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.store.shown import Shown
from training.evaluation.intervals.proportions import Interval
from training.evaluation.intervals.seeds import mean_over_seeds
from training.grids.outcomes import Outcome

__all__ = ["Differences", "differences", "differences_markdown"]

Differences = Mapping[tuple[str, Shown], Interval]
"""By row and condition, the accuracy minus that of the first row, with its 95 % interval."""


def differences(results: Mapping[str, Sequence[Sequence[Outcome]]]) -> Differences:
    """Paired by image and by place among the seeds; if the rows have different numbers of seeds, over the smaller one.
    The interval is over seeds and objects (intervals.seeds.mean_over_seeds), and is not corrected for the number of
    rows and conditions: of twenty differences that are none, one interval is expected to leave zero out."""
    rows = {row: seeds for row, seeds in results.items() if seeds}
    first, *others = rows
    return {
        (row, same[0][0].shown): _difference([one for one, _ in same], [base for _, base in same])
        for row in others
        for same in zip(*(zip(*pair, strict=True) for pair in zip(rows[row], rows[first], strict=False)), strict=True)
    }


def _difference(ones: Sequence[Outcome], bases: Sequence[Outcome]) -> Interval:
    for one, base in zip(ones, bases, strict=True):
        assert one.shown == base.shown and np.array_equal(one.image_ids, base.image_ids)
    values = [one.right.astype(float) - base.right for one, base in zip(ones, bases, strict=True)]
    return mean_over_seeds(bases[0].units, np.array(values))


def differences_markdown(found: Differences, first: str) -> str:
    """In points, a line for each condition; bold where the interval leaves zero out."""
    rows, conditions = list(dict.fromkeys(row for row, _ in found)), list(dict.fromkeys(shown for _, shown in found))
    lines = [f"| points more than {first} | {' | '.join(rows)} |", f"|:--|{'--:|' * len(rows)}"]
    lines += [
        f"| {condition.variant} | {' | '.join(_text(found[row, condition]) for row in rows)} |"
        for condition in conditions
    ]
    return "\n".join(lines) + "\n"


def _text(interval: Interval) -> str:
    assert interval.value is not None
    value = f"{100 * interval.value:+.2f}"
    if interval.low is None or interval.high is None:
        return value
    ends = f"({100 * interval.low:+.2f} to {100 * interval.high:+.2f})"
    return f"**{value}** {ends}" if interval.low > 0 or interval.high < 0 else f"{value} {ends}"
