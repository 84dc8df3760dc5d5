"""The table of the load of units: a row per model, layer, metric and number of units left out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from training.classifiers.any_classifier import AnyClassifier
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.classifiers.table import SCHEMA as TABLE
from training.evaluation.units.ablation import counted, drawn, predicted_without
from training.evaluation.units.load import Load, measure_load
from training.evaluation.units.settings import UnitLoad
from training.streams.stream import to_unit_floats

__all__ = ["SCHEMA", "measure_units", "shown_units"]

SCHEMA = pa.schema(
    [
        TABLE.field("model"),
        pa.field("digest", pa.string(), nullable=False),
        TABLE.field("dataset_digest"),
        TABLE.field("split"),
        pa.field("layer", pa.string(), nullable=False),
        pa.field("units", pa.int32(), nullable=False),
        TABLE.field("metric"),
        pa.field("left_out", pa.int32(), nullable=False),
        *(TABLE.field(name) for name in ("value", "low", "high", "images", "groups", "design_effect", "unit")),
    ]
)
"""metric: dead (a number of units), entropy (0 to 1), accuracy (nothing left out), accuracy_heaviest (without
`left_out` units of the largest load), accuracy_random (without as many at random; the mean, and the mean of the ends of
the intervals, over the draws). The other columns are those of classifiers.table."""


def measure_units(
    settings: UnitLoad, name: str, classifier: AnyClassifier, found: Predictions, images: NDArray[Any], batch_size: int,
    split: str,
) -> list[dict[str, Any]]:  # fmt: skip
    """The rows of a network; `found` are its predictions of the clean `images` (N, S, S, C), in the same order. There
    are none if it has no layer whose activations can be seen."""
    network = classifier.network
    device = next((tensor.device for tensor in network.state_dict().values()), torch.device("cpu"))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    batches = [to_unit_floats(some, device) for some in torch.split(pixels, batch_size)]
    loads = measure_load(network, batches)
    about = {"model": name, "digest": classifier.digest, "dataset_digest": found.dataset_digest, "split": split}
    return [
        about | {"layer": layer, "units": load.units} | row
        for layer, load in loads.items()
        for row in _rows(settings, network, found, batches, layer, load)
    ]


def _rows(
    settings: UnitLoad, network: torch.nn.Module, found: Predictions, batches: Sequence[torch.Tensor], layer: str,
    load: Load,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    images = len(found.labels)
    yield {"metric": "dead", "left_out": 0, "value": float(load.dead), "images": images}
    yield {"metric": "entropy", "left_out": 0, "value": load.entropy, "images": images}
    yield {"metric": "accuracy", "left_out": 0} | found.units.proportion(found.right)._asdict()
    for count in dict.fromkeys(counted(load, share) for share in settings.shares):
        chosen = [
            load.heaviest(count),
            *(drawn(load, count, settings.seed, layer, one) for one in range(settings.draws)),
        ]
        right = [predicted_without(network, batches, layer, units) == found.labels for units in chosen]
        intervals = [found.units.proportion(one)._asdict() for one in right]
        yield {"metric": "accuracy_heaviest", "left_out": count} | intervals[0]
        means = {key: float(np.mean([one[key] for one in intervals[1:]])) for key in ("value", "low", "high")}
        same = {key: intervals[1][key] for key in ("images", "groups", "unit")}
        yield {"metric": "accuracy_random", "left_out": count} | same | means


def shown_units(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows of one network for the console."""
    shown = Table(title=f"{rows[0]['model']}: load of the units, accuracy in %", box=SIMPLE_HEAD)
    for heading in ("layer", "units", "dead", "entropy", "all units"):
        shown.add_column(heading, justify="left" if heading == "layer" else "right")
    shown.add_column("without: heaviest / random", justify="left", overflow="fold")
    for layer in dict.fromkeys(row["layer"] for row in rows):
        own = [row for row in rows if row["layer"] == layer]
        values = {(row["metric"], row["left_out"]): row["value"] for row in own}
        without = (
            f"{count}: {100 * values['accuracy_heaviest', count]:.2f} / {100 * values['accuracy_random', count]:.2f}"
            for metric, count in values
            if metric == "accuracy_heaviest"
        )
        shown.add_row(
            layer, str(own[0]["units"]), f"{values['dead', 0]:.0f}", f"{values['entropy', 0]:.3f}",
            f"{100 * values['accuracy', 0]:.2f}", ", ".join(without),
        )  # fmt: skip
    return shown
