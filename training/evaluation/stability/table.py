"""The tables of a measurement of stability: means and medians by class, rank correlations, and a row per image."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipelines.store.shown import Shown
from training.evaluation.classifiers.reports import units_said
from training.evaluation.classifiers.table import SCHEMA as TABLE
from training.evaluation.intervals.proportions import Interval
from training.evaluation.intervals.quantities import mean, median
from training.evaluation.stability.correlation import rank_correlation
from training.evaluation.stability.measuring import Measured

__all__ = ["SCHEMA", "image_rows", "measured_rows", "said", "shown", "tracked"]

INTERVAL = ("value", "low", "high", "images", "groups", "design_effect", "unit")
SCHEMA = pa.schema(
    [
        *(TABLE.field(name) for name in ("model", "run", "dataset_digest", "size_px", "noise", "level", "split")),
        pa.field("label", pa.int32()),
        pa.field("class_name", pa.string()),
        TABLE.field("metric"),
        *(TABLE.field(name) for name in INTERVAL),
    ]
)
"""`label` and `class_name` are null for all classes together. Metrics: the counts wrong (predicted wrongly before),
kept (DeepFool did not find a perturbation) and black; means and medians (…_median) over the other images of
distance_l2, distance_relative (‖r‖ / ‖x‖), snr_db, margin, slope, slope_in_ball and first_order_l2; of all classes
rank_correlation/<column> with distance_l2, and distance_l2_median/slope_quarter_1 to 4, of the images of the least to
the steepest quarter of slope_in_ball. The other columns are those of classifiers.table."""
QUANTITIES = (
    "distance_l2", "distance_relative", "snr_db", "margin", "slope", "slope_in_ball", "first_order_l2",
)  # fmt: skip
PREDICTORS = ("first_order_l2", "margin", "slope", "slope_in_ball", "norm_l2")
QUARTERS = 4
FEWEST_FOR_QUARTERS = 8


def columns(measured: Measured) -> dict[str, NDArray[np.float64]]:
    return {
        "norm_l2": measured.norm, "distance_l2": measured.distance, "distance_relative": measured.relative,
        "snr_db": measured.snr_db, "margin": measured.margin, "slope": measured.slope,
        "slope_in_ball": measured.slope_in_ball, "first_order_l2": measured.first_order,
    }  # fmt: skip


def measured_rows(measured: Measured, subject: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of SCHEMA; `subject` are its first columns."""
    everything = np.ones(len(measured.norm), bool)
    rows = [{**subject, **row} for row in _of_images(measured, everything)]
    rows += [{**subject, **row} for row in _of_slopes(measured)]
    for label, name in enumerate(measured.found.class_names):
        own = measured.found.labels == label
        if own.any():
            about = {**subject, "label": label, "class_name": name}
            rows += [{**about, **row} for row in _of_images(measured, own)]
    return rows


def _of_images(measured: Measured, chosen: NDArray[np.bool_]) -> Iterator[dict[str, Any]]:
    images = int(chosen.sum())
    for name, those in (("wrong", measured.wrong), ("kept", measured.kept), ("black", measured.black)):
        yield {"metric": name, "value": float((those & chosen).sum()), "images": images}
    of = columns(measured)
    for name in QUANTITIES:
        rows = chosen & measured.moved & ~np.isnan(of[name])
        units = measured.found.units.at(rows)
        yield _row(name, mean(units, of[name][rows]))
        yield _row(f"{name}_median", median(units, of[name][rows]))


def _of_slopes(measured: Measured) -> Iterator[dict[str, Any]]:
    of, moved = columns(measured), measured.moved
    for name in PREDICTORS:
        found = rank_correlation(measured.found.units.at(moved), of[name][moved], measured.distance[moved])
        yield _row(f"rank_correlation/{name}", found)
    places = np.flatnonzero(moved)
    if len(places) < FEWEST_FOR_QUARTERS:
        return
    flat_to_steep = places[np.argsort(measured.slope_in_ball[places], kind="stable")]
    for number, quarter in enumerate(np.array_split(flat_to_steep, QUARTERS), start=1):
        rows = np.isin(np.arange(len(moved)), quarter)
        found = median(measured.found.units.at(rows), measured.distance[rows])
        yield _row(f"distance_l2_median/slope_quarter_{number}", found)


def _row(metric: str, interval: Interval) -> dict[str, Any]:
    return {"metric": metric, **interval._asdict()}


def image_rows(measured: Measured) -> pa.Table:
    """A row per image: what is known of it, and its columns; null where there is no distance."""
    found, of = measured.found, columns(measured)
    known = {
        "image_id": found.image_ids.tolist(), "label": found.labels.tolist(), "predicted": found.predicted.tolist(),
        "becomes": np.where(measured.moved, measured.becomes, -1).tolist(),
    }  # fmt: skip
    numbers = {name: pa.array(values, pa.float64(), from_pandas=True) for name, values in of.items()}
    table = pa.table(known | numbers)
    becomes = pa.array([None if label < 0 else label for label in known["becomes"]], pa.int64())
    return table.set_column(3, "becomes", becomes)


def said(measured: Measured, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences on images that are not in the means, on what predicts the distance, and on what intervals count."""
    total = len(measured.norm)
    counts = (
        (measured.wrong, "are predicted wrongly already; they have no distance"),
        (measured.kept, "have no distance, since DeepFool found no perturbation; allow it more steps"),
        (measured.black, "are black, and have no relative distance"),
    )
    of = {row["metric"]: row for row in rows if row.get("label") is None}
    predictors = ", ".join(f"{name} {_text(of[f'rank_correlation/{name}'], 2)}" for name in PREDICTORS)
    sentences = [f"{those.sum():,} of {total:,} images {what}" for those, what in counts if those.any()]
    sentences.append(f"rank correlation with the distance: {predictors}")
    quarters = [of.get(f"distance_l2_median/slope_quarter_{number}") for number in (1, QUARTERS)]
    if quarters[0] and quarters[1]:
        flat, steep = (_text(quarter, 3) for quarter in quarters if quarter)
        sentences.append(f"median distance of the quarter of the least slopes {flat}, of the steepest {steep}")
    return [*sentences, *units_said([of["distance_l2_median"]])]


def shown(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Medians by class, the least stable class first, for the console."""
    table = Table(title="DeepFool's perturbation, medians with 95 % intervals", box=SIMPLE_HEAD)
    for heading in ("class", "images", "wrong", "‖r‖₂", "‖r‖₂ / ‖x‖₂", "SNR, dB", "slope in ball"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    own: dict[int | None, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        own.setdefault(row.get("label"), {})[row["metric"]] = row
    for label, of in sorted(own.items(), key=lambda item: (item[0] is not None, _order(item[1]))):
        name = "all" if label is None else str(next(iter(of.values()))["class_name"])
        table.add_row(
            name, f"{of['wrong']['images']:,}", f"{of['wrong']['value']:.0f}",
            *(_text(of[f"{metric}_median"], digits) for metric, digits in (
                ("distance_l2", 3), ("distance_relative", 4), ("snr_db", 1), ("slope_in_ball", 1),
            )),
        )  # fmt: skip
    return table


def tracked(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The metrics of all classes by their names in a tracked run: stability/distance_l2/clean …, for other splits than
    the test images validation/stability/distance_l2/clean …"""
    return {
        ("" if row["split"] == "test" else f"{row['split']}/")
        + f"stability/{row['metric']}/{Shown(row['noise'], row['level']).variant}": row["value"]
        for row in rows
        if row.get("label") is None and row["value"] is not None
    }


def _order(of: Mapping[str, Mapping[str, Any]]) -> float:
    value = of["distance_relative_median"]["value"]
    return np.inf if value is None else float(value)


def _text(row: Mapping[str, Any], digits: int) -> str:
    if row["value"] is None:
        return "–"
    ends = "" if row["low"] is None else f" ({row['low']:.{digits}f} to {row['high']:.{digits}f})"
    return f"{row['value']:.{digits}f}{ends}"
