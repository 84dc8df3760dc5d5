"""The table of an evaluation: one row per model, variant and metric, for any reader of Parquet or CSV."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from pipelines.store.shown import Shown
from training.evaluation.classifiers.files import replacing
from training.evaluation.classifiers.metrics import Measurement

__all__ = ["SCHEMA", "TRACKED", "Subject", "description", "make_table", "tracked_metrics", "write_table"]

SCHEMA = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("run", pa.string()),
        pa.field("dataset_digest", pa.string(), nullable=False),
        pa.field("size_px", pa.int32(), nullable=False),
        pa.field("noise", pa.string(), nullable=False),
        pa.field("level", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("images", pa.int64()),
        pa.field("groups", pa.int64()),
        pa.field("design_effect", pa.float64()),
        pa.field("unit", pa.string()),
    ]
)
"""`run` is the tracked run of the model, null if it has none; `dataset_digest` the variant's content digest. noise and
level are none if nothing was added; adversarial images that were made against another model have the noise
fgsm_transfer_<the first digits of the digest of that model>. Metrics are fractions: accuracy; recall (TPR), precision,
f1 and fpr, macro averages, and as recall_weighted … weighted ones; ece; recall/14 … for class 14; images and images/14
are counts; for adversarial images also those of curves.measure_robustness. low and high are the 95 % interval, null if
there is none. It is of `images` images in `groups` groups and counts `unit` (intervals.proportions.Unit), so
`design_effect` images count as one; null if unknown, or without an interval."""
TRACKED = (
    "accuracy", "precision", "recall", "f1", "fpr", "ece", "accuracy_cumulative", "success", "relative_perturbation",
    "relative_perturbation_median", "robust_accuracy",
)  # fmt: skip


class Subject(NamedTuple):
    """What was measured: a model on a variant."""

    model: str
    run: str | None
    dataset_digest: str
    size_px: int
    noise: str
    level: str
    split: str


def make_table(measured: Iterable[tuple[Subject, Iterable[Measurement]]]) -> pa.Table:
    """Rows in the order given."""
    rows = [
        {**subject._asdict(), **measurement._asdict()}
        for subject, measurements in measured
        for measurement in measurements
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def write_table(table: pa.Table, folder: Path, name: str = "evaluation") -> list[Path]:
    """<name>.parquet and <name>.csv, each written atomically. Raises EvaluationError."""
    parquet, csv = folder / f"{name}.parquet", folder / f"{name}.csv"
    with replacing(parquet) as partial:
        pq.write_table(table, partial)
    with replacing(csv) as partial:
        pa_csv.write_csv(table, partial)
    return [parquet, csv]


def tracked_metrics(table: pa.Table, model: str) -> dict[str, float]:
    """The metrics of one model by their names in its tracked run: accuracy/gaussian-max, the ends of its interval as
    accuracy_low/gaussian-max and accuracy_high/gaussian-max, f1/clean …, for other splits than the test images
    validation/accuracy/gaussian-max …"""
    chosen = table.filter((pc.field("model") == model) & pc.field("metric").isin(TRACKED)).to_pylist()
    found = {_metric_name(row, row["metric"]): row["value"] for row in chosen}
    ends = {
        _metric_name(row, f"accuracy_{end}"): row[end]
        for row in chosen
        for end in ("low", "high")
        if row["metric"] == "accuracy"
    }
    return {name: value for name, value in (found | ends).items() if value is not None}


def description(table: pa.Table, model: str, about: Mapping[str, Any]) -> str:
    """The notes of the training that `about` (AnyClassifier.about) is of, and the accuracies of one model with their
    95 % intervals, in Markdown."""
    notes = about.get("settings", {}).get("tracking", {}).get("notes", "")
    rows = table.filter((pc.field("model") == model) & (pc.field("metric") == "accuracy")).to_pylist()
    lines = [
        f"| {Shown(row['noise'], row['level']).variant} | {100 * row['value']:.1f} | {100 * row['low']:.1f} – "
        f"{100 * row['high']:.1f} |"
        for row in rows
        if None not in (row["value"], row["low"], row["high"])
    ]
    header = ["| variant | images right, % | 95 % interval |", "|---|--:|--:|"]
    return "\n".join([*([notes, ""] if notes else []), *header, *lines])


def _metric_name(row: dict[str, Any], metric: str) -> str:
    split = "" if row["split"] == "test" else f"{row['split']}/"
    return f"{split}{metric}/{Shown(row['noise'], row['level']).variant}"
