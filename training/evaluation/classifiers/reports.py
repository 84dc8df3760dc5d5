"""Readable reports of an evaluation: scikit-learn's report of each variant, and the table on the console."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.box import SIMPLE_HEAD
from rich.table import Table
from sklearn.metrics import classification_report

from pipelines.store.shown import Shown
from training.evaluation.classifiers.files import replacing
from training.evaluation.classifiers.metrics import confusion
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.classifiers.variants import in_order

__all__ = ["accuracies", "units_said", "write_reports"]

MAX_WITH_INTERVALS = 2


def write_reports(predictions: Predictions, class_names: Sequence[str], folder: Path, variant: str) -> list[Path]:
    """report-<variant>.txt and .json, scikit-learn's classification_report for the classes that occur in the labels,
    and confusion-<variant>.csv, labels in rows and predictions in columns. Raises EvaluationError."""
    text, values = (_classification_report(predictions, class_names, as_dict) for as_dict in (False, True))
    return [
        _write(folder / f"report-{variant}.txt", str(text)),
        _write(folder / f"report-{variant}.json", json.dumps(values, indent=1)),
        _write_confusion(folder / f"confusion-{variant}.csv", predictions),
    ]


def accuracies(table: pa.Table) -> Table:
    """Accuracy in per cent: a row per variant, a column per model, with its 95 % interval and design effect if a narrow
    screen has room for them; more models than MAX_WITH_INTERVALS are numbered, and named below."""
    rows = table.filter(pc.field("metric") == "accuracy").to_pylist()
    models = list(dict.fromkeys(row["model"] for row in rows))
    many = len(models) > MAX_WITH_INTERVALS
    text = _short if many else _with_interval
    cells = {(Shown(row["noise"], row["level"]), row["model"]): text(row) for row in rows}
    variants = in_order(variant for variant, _ in cells)
    title, padding = ("accuracy, %", (0, 1, 0, 0)) if many else ("accuracy, % (95 % interval), design effect", (0, 1))
    shown = Table(title=title, box=SIMPLE_HEAD, padding=padding, pad_edge=not many, caption_justify="left")
    shown.add_column("variant", no_wrap=True, min_width=max((len(one.variant) for one in variants), default=0))
    for number, model in enumerate(models, 1):
        shown.add_column(str(number) if many else model, justify="right", overflow="fold")
    for variant in variants:
        shown.add_row(variant.variant, *(cells.get((variant, model), "") for model in models))
    names = [f"{number}: {model}" for number, model in enumerate(models, 1)] if many else units_said(rows)
    shown.caption = "\n".join(names)
    return shown


def units_said(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each kind of interval in rows of the table: what it counts as one observation."""
    said: dict[str, None] = {}
    for row in rows:
        said.setdefault(_unit_said(row))
    return list(said)


def _unit_said(row: Mapping[str, Any]) -> str:
    images, groups = (f"{row[key]:,}" if row[key] is not None else "" for key in ("images", "groups"))
    match row["unit"]:
        case "group":
            return f"Intervals count {groups} groups of images of one object ({images} images)."
        case "recovered group":
            return f"Intervals count {groups} groups of images of one object, recovered ({images} images)."
        case "image":
            return f"Intervals count {images} images, each of an object of its own."
        case "estimated":
            return (
                f"Which of the {images} images show one object is unknown: intervals use the design effect of the "
                "validation images."
            )
        case _:
            return (
                f"Which of the {images} images show one object is unknown: intervals count images and may be "
                "too narrow."
            )


def _with_interval(row: Mapping[str, Any]) -> str:
    effect = "" if row["design_effect"] is None else f"{row['design_effect']:.1f}"
    return f"{_short(row)} ({_per_cent(row, 'low')} – {_per_cent(row, 'high')}) {effect:>5}"


def _short(row: Mapping[str, Any]) -> str:
    return _per_cent(row, "value")


def _per_cent(row: Mapping[str, Any], key: str) -> str:
    return f"{100 * row[key]:.2f}"


def _classification_report(predictions: Predictions, class_names: Sequence[str], as_dict: bool) -> object:
    present = np.unique(predictions.labels)
    names = [
        class_names[label] if class_names[label] == str(label) else f"{label} {class_names[label]}" for label in present
    ]
    return classification_report(
        predictions.labels, predictions.predicted, labels=present, target_names=names, digits=4, zero_division=0,
        output_dict=as_dict,
    )  # fmt: skip


def _write(path: Path, content: str) -> Path:
    with replacing(path) as partial:
        partial.write_text(content)
    return path


def _write_confusion(path: Path, predictions: Predictions) -> Path:
    matrix = confusion(predictions)
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", *range(len(matrix))])
        writer.writerows([label, *row] for label, row in enumerate(matrix.tolist()))
    return path
