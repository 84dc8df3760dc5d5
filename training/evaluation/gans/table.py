"""The table of an evaluation of generators: one row per generator and metric, and reference rows as a scale."""

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from rich.box import SIMPLE_HEAD
from rich.table import Table

__all__ = ["SCHEMA", "GanSubject", "Score", "make_gan_table", "shown_scores", "tracked_scores"]

SCHEMA = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("run", pa.string()),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("dataset_digest", pa.string(), nullable=False),
        pa.field("size_px", pa.int32(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("extractor", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("sd", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("n_real", pa.int64()),
        pa.field("note", pa.string()),
        pa.field("unit", pa.string()),
    ]
)
"""`model` is a generator, or "real training images" or "uniform noise"; `run` its tracked run, null if it has none;
`digest` that of its weights or images, `dataset_digest` the content digest of the clean variant. `extractor` is the
name and the digest of the network whose features or predictions the metric uses, null if it uses none. `n` images were
compared with `n_real` real ones; sd is over subsets or splits, low and high the 95 % interval, which counts
`unit` as in the table of classifiers. `note` says why a value is missing, or what to consider."""


class Score(NamedTuple):
    """One metric of one set of images."""

    metric: str
    value: float | None
    n: int
    n_real: int | None = None
    extractor: str | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    note: str | None = None
    unit: str | None = None


class GanSubject(NamedTuple):
    """What was measured."""

    model: str
    run: str | None
    digest: str
    dataset_digest: str
    size_px: int
    split: str


def make_gan_table(measured: Iterable[tuple[GanSubject, Iterable[Score]]]) -> pa.Table:
    """Rows in the order given."""
    return pa.Table.from_pylist(
        [{**subject._asdict(), **score._asdict()} for subject, scores in measured for score in scores], SCHEMA
    )


def shown_scores(table: pa.Table) -> Table:
    """A row per metric, a column per generator or reference and size; standard deviations after a ±."""
    cells = {
        (row["metric"], (row["model"], row["size_px"])): _text(row["value"], row["sd"]) for row in table.to_pylist()
    }
    subjects = list(dict.fromkeys(subject for _, subject in cells))
    shown = Table(title="generated against real images", box=SIMPLE_HEAD)
    shown.add_column("metric", no_wrap=True)
    for model, size_px in subjects:
        shown.add_column(f"{model}, {size_px} px", justify="right", overflow="fold")
    for metric in dict.fromkeys(metric for metric, _ in cells):
        shown.add_row(metric, *(cells.get((metric, subject), "") for subject in subjects))
    return shown


def tracked_scores(table: pa.Table, model: str) -> dict[str, float]:
    """The metrics of one generator by their names in its tracked run: gan/kid_task …, for other splits than the test
    images gan/validation/kid_task …"""
    return {
        "gan/" + ("" if row["split"] == "test" else f"{row['split']}/") + row["metric"]: row["value"]
        for row in table.filter(pc.field("model") == model).to_pylist()
        if row["value"] is not None
    }


def _text(value: float | None, sd: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if sd is None else f"{value:.4g} ± {sd:.2g}"
