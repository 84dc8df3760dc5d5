"""Accuracy over decibels: clean, under attack, and certified."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from training.evaluation.certification.table import CURVES, Tally
from training.evaluation.classifiers.figures import name_units

__all__ = ["accuracy_over_decibels"]

MARGIN_DB = 3.0
STEP_DB = 0.1
COLOURS = {"accuracy_empirical": "C1", "accuracy_certified": "C0"}


def accuracy_over_decibels(table: pa.Table, tally: Tally, title: str) -> Figure:
    """Stronger perturbations to the right. Certified accuracy is known at every ratio, the others at those of `table`;
    whiskers are 95 % intervals. The truth lies between the lower two curves."""
    rows = table.to_pylist()
    ratios = sorted({row["snr_db"] for row in rows if row["snr_db"] is not None}, reverse=True)
    ends = ratios[0] + MARGIN_DB, ratios[-1] - MARGIN_DB
    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axis = figure.subplots()
    for metric, name, style in (
        ("accuracy_network", "network, no attack", ":"),
        ("accuracy", "certified classifier, no attack", "--"),
    ):
        (row,) = (one for one in rows if one["metric"] == metric)
        axis.plot(ends, [100 * row["value"]] * 2, style, color="0.4", label=name)
    for metric, name in CURVES.items():
        own = [row for row in rows if row["metric"] == metric]
        values, low, high = _per_cents(own)
        axis.errorbar(
            [row["snr_db"] for row in own], values, [values - low, high - values], marker="o", markersize=4, capsize=3,
            color=COLOURS[metric], label=name, linestyle="-" if metric == "accuracy_empirical" else "none",
        )  # fmt: skip
    fine = np.arange(ends[0], ends[1] - STEP_DB / 2, -STEP_DB)
    certified = [100 * tally.certified(ratio).mean() for ratio in fine.tolist()]
    axis.plot(fine, certified, color=COLOURS["accuracy_certified"])
    axis.set(
        xlim=ends, ylim=(0, 102), xlabel="signal-to-noise ratio in L2, dB: stronger to the right",
        ylabel="accuracy, %",
    )  # fmt: skip
    axis.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
    axis.grid(color="0.9")
    figure.legend(loc="outside right center", fontsize=8)
    name_units(figure, [row for row in rows if row["unit"]])
    return figure


def _per_cents(rows: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(3, N): values, lower and upper bounds."""
    return 100 * np.array([[row[key] for row in rows] for key in ("value", "low", "high")], np.float64)
