"""The table of a grid: a row per row of settings and per noise or attack, over seeds; and what is suspicious in it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipelines.store.shown import NONE, Shown
from training.attacks import Eps, SnrDb, Strength
from training.evaluation.classifiers.table import SCHEMA as EVALUATION
from training.evaluation.intervals.proportions import Interval
from training.evaluation.intervals.seeds import over_seeds
from training.grids.differences import Differences
from training.grids.outcomes import Outcome
from training.grids.settings import RunGrid

__all__ = ["SCHEMA", "Results", "find_flags", "grid_table", "markdown", "shown_table"]

SCHEMA = pa.schema(
    [
        pa.field("row", pa.string(), nullable=False),
        EVALUATION.field("noise"),
        EVALUATION.field("level"),
        pa.field("snr_db", pa.float64()),
        pa.field("eps", pa.float64()),
        EVALUATION.field("split"),
        pa.field("seeds", pa.int32(), nullable=False),
        pa.field("accuracy", pa.float64(), nullable=False),
        pa.field("sd", pa.float64()),
        *(EVALUATION.field(name) for name in ("low", "high", "images", "groups", "design_effect", "unit")),
        pa.field("difference", pa.float64()),
        pa.field("difference_low", pa.float64()),
        pa.field("difference_high", pa.float64()),
    ]
)
"""`snr_db` or `eps` is the strength of an attack. `accuracy` is the mean over `seeds`, `sd` their standard deviation
(null for a single one), low and high the 95 % interval over seeds and objects; `difference` is that to the grid's first
row (grids.differences), null in that row; the rest as in classifiers.table."""
Results = Mapping[str, Sequence[Sequence[Outcome]]]
"""By row, for each seed that has a result."""


def grid_table(settings: RunGrid, results: Results, found: Differences) -> pa.Table:
    """`found` are the differences between the rows."""
    strengths = {shown: one for attack in settings.grid.attacks for shown, one in attack.strengths.items()}
    rows = [
        {"row": row, "split": settings.split}
        | _measured(same, strengths.get(same[0].shown))
        | _compared(found.get((row, same[0].shown)))
        for row, seeds in results.items()
        for same in zip(*seeds, strict=True)
    ]
    return pa.Table.from_pylist([{name: row.get(name) for name in SCHEMA.names} for row in rows], SCHEMA)


def _measured(same: Sequence[Outcome], strength: Strength | None) -> dict[str, Any]:
    """Of one condition, an outcome for each seed."""
    first = same[0]
    right = np.array([one.right for one in same])
    if len(same) > 1:
        over = over_seeds(first.units, right)
        interval, sd = over.interval, over.sd
    else:
        interval, sd = first.units.proportion(first.right), None
    return {
        **first.shown._asdict(), "seeds": len(same), "accuracy": interval.value, "sd": sd, **interval._asdict(),
        "snr_db": strength.snr_db if isinstance(strength, SnrDb) else None,
        "eps": strength.eps if isinstance(strength, Eps) else None,
    }  # fmt: skip


def _compared(found: Interval | None) -> dict[str, float | None]:
    if found is None:
        return {}
    return {"difference": found.value, "difference_low": found.low, "difference_high": found.high}


def find_flags(settings: RunGrid, results: Results) -> list[str]:
    """A sentence for each accuracy that rises with the strength of an attack (the Parseval report's Table 1 has one:
    "as the SnR decrease the accuracy increased"), and for each attack of many steps that leaves more images right than
    one of a single step at the same strength, which gradients that are masked are a reason for. Both compare means over
    seeds on the same images; small rises are flagged too."""
    return [
        sentence
        for row, seeds in results.items()
        if seeds
        for sentence in (*_rising(settings, row, seeds), *_masked(settings, row, seeds))
    ]


def _rising(settings: RunGrid, row: str, seeds: Sequence[Sequence[Outcome]]) -> Iterator[str]:
    for attack in settings.grid.attacks:
        before = Shown()
        for shown in attack.strengths:
            weak, strong = _on_same(seeds, before, shown)
            if strong > weak:
                yield (
                    f"{row}: accuracy rises with the strength of the attack, from {weak:.2%} on {before.variant} to "
                    f"{strong:.2%} on {shown.variant}; the attack may be stuck"
                )
            before = shown


def _masked(settings: RunGrid, row: str, seeds: Sequence[Sequence[Outcome]]) -> Iterator[str]:
    attacks = settings.grid.attacks
    for one_step in (attack for attack in attacks if attack.attack.kind == "fgsm"):
        for other in (attack for attack in attacks if attack.attack.kind != "fgsm"):
            for shown, strength in one_step.strengths.items():
                for stronger in (name for name, same in other.strengths.items() if same == strength):
                    once, many = _on_same(seeds, shown, stronger)
                    if many > once:
                        yield (
                            f"{row}: {stronger.variant} leaves more images right ({many:.2%}) than {shown.variant} "
                            f"({once:.2%}); gradients may be masked"
                        )


def _on_same(seeds: Sequence[Sequence[Outcome]], one: Shown, other: Shown) -> tuple[float, float]:
    """Mean accuracies under both, on the images that both have."""
    values = []
    for outcomes in seeds:
        by_shown = {outcome.shown: outcome for outcome in outcomes}
        both = by_shown[one], by_shown[other]
        ids = np.intersect1d(both[0].image_ids, both[1].image_ids)
        values.append([float(outcome.right[np.isin(outcome.image_ids, ids)].mean()) for outcome in both])
    first, second = np.mean(values, axis=0)
    return float(first), float(second)


def shown_table(table: pa.Table) -> Table:
    """Accuracies in per cent for the console: a line for each condition, a column for each row of the grid."""
    cells = {(row["row"], Shown(row["noise"], row["level"])): row for row in table.to_pylist()}
    rows, conditions = list(dict.fromkeys(row for row, _ in cells)), list(dict.fromkeys(shown for _, shown in cells))
    shown = Table(title="accuracy over seeds, %", box=SIMPLE_HEAD)
    shown.add_column(
        "noise or attack", no_wrap=True, min_width=max((len(one.variant) for one in conditions), default=0)
    )
    for row in rows:
        shown.add_column(row, justify="right")
    for condition in conditions:
        shown.add_row(condition.variant, *(_text(cells.get((row, condition))) for row in rows))
    return shown


def markdown(table: pa.Table) -> str:
    """The rows of the grid below each other, in per cent, mean ± standard deviation (95 % interval)."""
    cells = {(row["row"], Shown(row["noise"], row["level"])): row for row in table.to_pylist()}
    rows, conditions = list(dict.fromkeys(row for row, _ in cells)), list(dict.fromkeys(shown for _, shown in cells))
    lines = [f"| | {' | '.join(condition.variant for condition in conditions)} |", f"|:--|{'--:|' * len(conditions)}"]
    for row in rows:
        texts = (_text(cells.get((row, condition)), ends=True) for condition in conditions)
        lines.append(f"| {row} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def _text(cell: Mapping[str, Any] | None, ends: bool = False) -> str:
    if cell is None:
        return NONE
    text = f"{100 * cell['accuracy']:.2f}" + (" (one seed)" if cell["sd"] is None else f" ± {100 * cell['sd']:.2f}")
    return text + (f" ({100 * cell['low']:.1f}–{100 * cell['high']:.1f})" if ends and cell["low"] is not None else "")
