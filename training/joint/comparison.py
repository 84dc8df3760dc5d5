"""The trained classifiers on test images and on the images of every kept generator: one table."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from training.classifiers.trained import Classifier
from training.evaluation.classifiers.files import replacing
from training.evaluation.classifiers.predicting import predict
from training.evaluation.classifiers.reports import units_said
from training.evaluation.classifiers.table import write_table
from training.evaluation.intervals.proportions import Interval, Units
from training.evaluation.intervals.seeds import over_seeds
from training.gans.trained import TrainedGan
from training.joint.figures import accuracy_by_iteration
from training.streams.stream import Data

__all__ = ["GENERATED", "SCHEMA", "Classifiers", "compare", "labels_of", "write_comparison"]

GENERATED = "generated"
AT_ONCE = 250
Classifiers = Mapping[str, Sequence[Classifier]]
"""The trained classifiers of each kind, one for each seed."""
SCHEMA = pa.schema(
    [
        pa.field("classifier", pa.string(), nullable=False),
        pa.field("shown", pa.string(), nullable=False),
        pa.field("iteration", pa.int64()),
        pa.field("seeds", pa.int32(), nullable=False),
        pa.field("accuracy", pa.float64(), nullable=False),
        pa.field("sd", pa.float64()),
        pa.field("low", pa.float64(), nullable=False),
        pa.field("high", pa.float64(), nullable=False),
        pa.field("images", pa.int64(), nullable=False),
        pa.field("groups", pa.int64()),
        pa.field("design_effect", pa.float64()),
        pa.field("unit", pa.string(), nullable=False),
    ]
)
"""`shown` is a variant, whose test images these are, or GENERATED: the images of the generator as it was after
`iteration`. `accuracy` is the mean over `seeds`, `sd` their standard deviation, null of one seed; low and high are the
95 % interval of the mean over seeds and images (intervals.seeds), of one seed over images (intervals.proportions), and
count `unit`."""


class Shown(NamedTuple):
    """`right` (S, N), by kind of classifier: whether the classifier of each seed is right about each of N images."""

    shown: str
    iteration: int | None
    units: Units
    right: Mapping[str, NDArray[np.bool_]]


def compare(
    classifiers: Classifiers, data: Data, generators: Mapping[int, TrainedGan], samples: int, seed: int,
    device: torch.device,
) -> pa.Table:  # fmt: skip
    """`generators` by the iteration after which they were kept; all are given the same latents, of `seed`, and
    `samples` labels, equally many of each class. Raises StreamError and EvaluationError."""
    shown = [*_on_test_images(classifiers, data, device)]
    shown += [
        _on_generated(classifiers, gan, iteration, samples, seed, device) for iteration, gan in generators.items()
    ]
    rows = [{"classifier": kind, **_row(one, kind)} for one in shown for kind in classifiers]
    return pa.Table.from_pylist(rows, SCHEMA)


def labels_of(classes: Sequence[int], samples: int) -> torch.Tensor:
    """(samples,): the classes in turn."""
    return torch.tensor(classes)[torch.arange(samples) % len(classes)]


def write_comparison(table: pa.Table, folder: Path, title: str) -> list[Path]:
    """comparison.parquet, .csv and .md, and accuracy_by_iteration.png. Raises EvaluationError."""
    markdown = folder / "comparison.md"
    files = write_table(table, folder, "comparison")
    with replacing(markdown) as partial:
        partial.write_text(as_markdown(table))
    return [*files, markdown, accuracy_by_iteration(table, title, folder / "accuracy_by_iteration.png")]


def as_markdown(table: pa.Table) -> str:
    """Per cent: a row for the test images and for each generator, a column for each kind of classifier; below it what
    intervals count."""
    rows = table.to_pylist()
    kinds = list(dict.fromkeys(row["classifier"] for row in rows))
    lines = [f"| images | {' | '.join(kinds)} |", f"|---|{'---|' * len(kinds)}"]
    by_place: dict[str, list[str]] = {}
    for row in rows:
        by_place.setdefault(_place(row), []).append(_cell(row))
    lines += [f"| {place} | {' | '.join(cells)} |" for place, cells in by_place.items()]
    return "\n".join([*lines, "", *units_said(rows)]) + "\n"


def _place(row: Mapping[str, Any]) -> str:
    if row["iteration"] is None:
        return f"test images, {row['shown']} ({row['images']:,})"
    return f"generated after iteration {row['iteration']:,} ({row['images']:,})"


def _cell(row: Mapping[str, Any]) -> str:
    accuracy, low, high = (f"{100 * row[name]:.2f}" for name in ("accuracy", "low", "high"))
    sd = "" if row["sd"] is None else f" ± {100 * row['sd']:.2f}"
    return f"{accuracy}{sd} ({low} – {high})"


def _row(one: Shown, kind: str) -> dict[str, Any]:
    right = one.right[kind]
    if len(right) == 1:
        sd, interval = None, one.units.proportion(right[0])
    else:
        measured = over_seeds(one.units, right)
        sd, interval = measured.sd, measured.interval
    facts = {"shown": one.shown, "iteration": one.iteration, "seeds": len(right), "sd": sd}
    return {**facts, "accuracy": interval.value, **_without_value(interval)}


def _without_value(interval: Interval) -> dict[str, Any]:
    return {name: value for name, value in interval._asdict().items() if name != "value"}


def _on_test_images(classifiers: Classifiers, data: Data, device: torch.device) -> Iterator[Shown]:
    by_name = {f"{kind} {number}": one for kind, some in classifiers.items() for number, one in enumerate(some)}
    found = predict(by_name, data, "test", sorted(data.mixture), device)
    for variant in sorted(data.mixture):
        right = {
            kind: np.array([found[f"{kind} {number}", variant].right for number in range(len(some))])
            for kind, some in classifiers.items()
        }
        yield Shown(variant, None, next(iter(found.values())).units, right)


def _on_generated(
    classifiers: Classifiers, gan: TrainedGan, iteration: int, samples: int, seed: int, device: torch.device
) -> Shown:
    labels, draw = labels_of(gan.shape.classes, samples), torch.Generator().manual_seed(seed)
    gan.generator.to(device)
    right: dict[str, list[list[torch.Tensor]]] = {kind: [[] for _ in some] for kind, some in classifiers.items()}
    with torch.inference_mode():
        for asked in torch.split(labels, AT_ONCE):
            images = gan.sample(asked, draw).mul(255).round().div(255)  # of 256 grey levels, like real ones
            for kind, some in classifiers.items():
                for found, classifier in zip(right[kind], some, strict=True):
                    found.append(classifier.network.to(device)(images).argmax(1).cpu() == asked)
    by_kind = {kind: np.array([torch.cat(parts).numpy() for parts in found]) for kind, found in right.items()}
    return Shown(GENERATED, iteration, Units("image"), by_kind)
