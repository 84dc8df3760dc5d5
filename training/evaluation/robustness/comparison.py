"""Is the second one safer? Two networks, or two recipes with several seeds each, compared on the same images, noise by
noise and attack by attack."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipelines.store.shown import Shown
from training.classifiers.any_classifier import AnyClassifier
from training.evaluation.classifiers.predicting import Predictions, on_same_images
from training.evaluation.classifiers.table import SCHEMA as EVALUATION
from training.evaluation.classifiers.variants import in_order
from training.evaluation.intervals.holm import holm
from training.evaluation.intervals.pairs import Pairs, Side
from training.evaluation.robustness.recipes import seeds_of_recipes

__all__ = ["SCHEMA", "Comparison", "compare", "compare_sides", "shown_comparison"]

SIGNIFICANCE = 0.05
MAX_NAMED = 4
SCHEMA = pa.schema(
    [
        pa.field("before", pa.string(), nullable=False),
        pa.field("after", pa.string(), nullable=False),
        EVALUATION.field("noise"),
        EVALUATION.field("level"),
        pa.field("seeds_before", pa.int32(), nullable=False),
        pa.field("seeds_after", pa.int32(), nullable=False),
        pa.field("accuracy_before", pa.float64(), nullable=False),
        pa.field("accuracy_after", pa.float64(), nullable=False),
        pa.field("difference", pa.float64(), nullable=False),
        pa.field("low", pa.float64(), nullable=False),
        pa.field("high", pa.float64(), nullable=False),
        pa.field("p_better", pa.float64(), nullable=False),
        pa.field("p_worse", pa.float64(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        *(EVALUATION.field(name) for name in ("images", "groups", "design_effect", "unit")),
    ]
)
"""`before` and `after` are names of models with commas between them. `difference` is the accuracy after minus that
before, with its 95 % interval, over groups and seeds; p_better and p_worse are one-sided, of a gain and of a loss of
any size, corrected for the number of variants by Holm's method. verdict: better or worse (p below 0.05), or not
shown."""
CellVerdict = Literal["better", "worse", "not shown"]


class Comparison(NamedTuple):
    """`sentences`: the verdict, then what limits it. Without rows nothing could be compared, and the sentences say
    why."""

    table: pa.Table
    sentences: Sequence[str]


def compare(
    predictions: Mapping[tuple[str, str], Predictions], models: Mapping[str, AnyClassifier]
) -> Comparison | None:
    """None unless there are two sides: two models, or the models of two recipes."""
    sides = [[name] for name in models] if len(models) == 2 else seeds_of_recipes(models)
    return compare_sides(predictions, *sides) if len(sides) == 2 else None


def compare_sides(
    predictions: Mapping[tuple[str, str], Predictions], before: Sequence[str], after: Sequence[str]
) -> Comparison:
    """The tests are those of the gate of retraining (intervals.pairs). `predictions` by model and variant as in
    Predictions.shown; images that were made against another network are left out. `before` and `after` are the names
    of the networks of each side."""
    cells = _cells(predictions, before, after)
    unknown = [shown.variant for shown, found in cells.items() if any(one.groups is None for one in found)]
    if unknown or not cells:
        why = (
            f"it is not known which images of {', '.join(unknown[:MAX_NAMED])} show one object; use groups=recovered "
            "or split=validation" if unknown else "they were not evaluated on the same variants"
        )  # fmt: skip
        return Comparison(SCHEMA.empty_table(), [f"{_name(before)} and {_name(after)} are not compared: {why}"])
    rows = _rows(_name(before), _name(after), cells, len(before))
    return Comparison(pa.Table.from_pylist(rows, SCHEMA), _sentences(rows))


def shown_comparison(found: Comparison) -> list[Table | str]:
    """For the console: the table in points of accuracy if there is one, and the sentences."""
    rows = found.table.to_pylist()
    if not rows:
        return list(found.sentences)
    shown = Table(title="accuracy in %, and second minus first in points (95 %)", box=SIMPLE_HEAD)
    shown.add_column("variant", no_wrap=True)
    for name in ("first", "second", "difference", "second is"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        first, second, difference, low, high = (
            100 * row[name] for name in ("accuracy_before", "accuracy_after", "difference", "low", "high")
        )
        ends = f"{difference:+.2f} ({low:+.2f} – {high:+.2f})"
        shown.add_row(_variant(row), f"{first:.2f}", f"{second:.2f}", ends, row["verdict"])
    return [shown, *found.sentences]


def _cells(
    predictions: Mapping[tuple[str, str], Predictions], before: Sequence[str], after: Sequence[str]
) -> dict[Shown, list[Predictions]]:
    """Variants on which all networks were evaluated: those of `before` first, reduced to the same images."""
    names = [*before, *after]
    own: dict[str, dict[Shown, Predictions]] = {name: {} for name in names}
    for (name, _), found in predictions.items():
        if name in own and not found.transfer:
            own[name][found.shown] = found
    common = in_order(shown for shown in own[names[0]] if all(shown in own[name] for name in names))
    return {shown: on_same_images(*(own[name][shown] for name in names)) for shown in common}


def _rows(
    before: str, after: str, cells: Mapping[Shown, Sequence[Predictions]], count_before: int
) -> list[dict[str, Any]]:
    pairs = [Pairs(_side(found[:count_before]), _side(found[count_before:])) for found in cells.values()]
    better = holm([pair.p_better() for pair in pairs]).tolist()
    worse = holm([pair.p_worse(0.0) for pair in pairs]).tolist()
    rows = []
    for shown, pair, p_better, p_worse in zip(cells, pairs, better, worse, strict=True):
        low, high = pair.interval()
        own = pair.challenger.interval()
        rows.append(
            {
                "before": before, "after": after, **shown._asdict(), "seeds_before": pair.champion.seeds,
                "seeds_after": pair.challenger.seeds, "accuracy_before": pair.champion.accuracy,
                "accuracy_after": pair.challenger.accuracy, "difference": pair.difference, "low": low, "high": high,
                "p_better": p_better, "p_worse": p_worse, "verdict": _verdict(p_better, p_worse), "images": own.images,
                "groups": own.groups, "design_effect": pair.design_effect, "unit": own.unit,
            }
        )  # fmt: skip
    return rows


def _side(found: Sequence[Predictions]) -> Side:
    groups = found[0].groups
    assert groups is not None
    return Side(np.array([one.right for one in found]), groups, found[0].recovered)


def _verdict(p_better: float, p_worse: float) -> CellVerdict:
    if p_better < SIGNIFICANCE:
        return "better"
    return "worse" if p_worse < SIGNIFICANCE else "not shown"


def _sentences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    before, after = rows[0]["before"], rows[0]["after"]
    of = {verdict: [row for row in rows if row["verdict"] == verdict] for verdict in ("better", "worse", "not shown")}
    better, worse, undecided = (len(of[verdict]) for verdict in ("better", "worse", "not shown"))
    counts = f"better in {better} of {len(rows)} variants, worse in {worse}, not shown in {undecided}"
    if better and not worse:
        verdict = f"{after} is safer than {before}: {counts}"
    elif worse and not better:
        verdict = f"{after} is less safe than {before}: {counts}"
    elif better:
        verdict = f"{after} is neither safer nor less safe than {before}: {counts}"
    else:
        verdict = f"no difference between {before} and {after} is shown in any of {len(rows)} variants"
    sentences = [verdict]
    sentences += [f"{name}: {_named(of[name])}" for name in ("better", "worse") if of[name]]
    seeds = rows[0]["seeds_before"], rows[0]["seeds_after"]
    if max(seeds) == 1:
        sentences.append("one seed on each side: another seed of the same recipe may differ as much")
    elif min(seeds) == 1:
        sentences.append("one side has a single seed: its spread is taken from the other side")
    return sentences


def _named(rows: Sequence[Mapping[str, Any]]) -> str:
    """The largest differences first, in points."""
    first = sorted(rows, key=lambda row: -abs(row["difference"]))[:MAX_NAMED]
    named = ", ".join(f"{_variant(row)} {100 * row['difference']:+.2f} points" for row in first)
    return named + (f" and {len(rows) - len(first)} more" if len(rows) > len(first) else "")


def _variant(row: Mapping[str, Any]) -> str:
    return Shown(row["noise"], row["level"]).variant


def _name(side: Sequence[str]) -> str:
    return ", ".join(side)
