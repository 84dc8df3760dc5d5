"""The tables of a certification: a row for each image, and a row for each quantity and ratio."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.table import Table

from training.evaluation.certification.images import Certificate, Outcome
from training.evaluation.classifiers.metrics import Measurement
from training.evaluation.classifiers.reports import units_said
from training.evaluation.classifiers.table import SCHEMA as EVALUATION
from training.evaluation.intervals.proportions import Units
from training.evaluation.intervals.quantities import mean

__all__ = ["CELLS", "IMAGES", "Tally", "cells", "console_table", "image_rows", "read_rows", "tracked_metrics"]

IMAGES = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("label", pa.int64(), nullable=False),
        pa.field("network_prediction", pa.int64(), nullable=False),
        pa.field("prediction", pa.int64()),
        pa.field("hits", pa.int64()),
        pa.field("p_lower", pa.float64()),
        pa.field("radius_l2", pa.float64(), nullable=False),
        pa.field("norm_l2", pa.float64(), nullable=False),
        pa.field("certified_snr_db", pa.float64()),
        pa.field("broken_snr_db", pa.float64()),
    ]
)
"""As images.Outcome. `radius_l2` is that of the prediction, whether it is right or not; `certified_snr_db` the ratio at
which a perturbation has this norm: null without a radius, and for a black image, which has no ratio."""
CELLS = pa.schema(
    [
        *(EVALUATION.field(name) for name in ("model", "run", "dataset_digest", "size_px", "split")),
        pa.field("method", pa.string(), nullable=False),
        pa.field("snr_db", pa.float64()),
        *(EVALUATION.field(name) for name in ("metric", "value", "low", "high")),
        *(EVALUATION.field(name) for name in ("images", "groups", "design_effect", "unit")),
    ]
)
"""`snr_db` is null for what does not depend on it. Metrics are those of Tally; the rest as in classifiers.table."""
CURVES = {"accuracy_empirical": "empirical", "accuracy_certified": "certified"}


class Tally(NamedTuple):
    """Outcomes as columns (N,), and what counts as one observation."""

    outcomes: Sequence[Outcome]
    units: Units

    @property
    def right(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.array([one.certificate.predicted == one.label for one in self.outcomes])

    @property
    def radii(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([one.certificate.radius_l2 for one in self.outcomes])

    def balls(self, snr_db: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        """‖x‖₂ / 10^(SNR/20), the norm of a perturbation of this ratio."""
        return np.array([one.norm_l2 for one in self.outcomes]) / 10 ** (snr_db / 20)

    def certified(self, snr_db: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Right, and the same class in the whole closed ball."""
        certified: np.ndarray[Any, np.dtype[np.bool_]] = self.right & (self.radii > self.balls(snr_db))
        return certified

    def unbroken(self, snr_db: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Right, and not shown to be wrong after the attack at this ratio or a weaker one."""
        weakest = [math.inf if one.broken_snr_db is None else -one.broken_snr_db for one in self.outcomes]
        unbroken: np.ndarray[Any, np.dtype[np.bool_]] = self.right & (np.array(weakest) > -snr_db)
        return unbroken

    def violations(self, snr_db: float) -> list[str]:
        """Ids of images that are certified and were broken nevertheless."""
        both = self.certified(snr_db) & ~self.unbroken(snr_db)
        return [self.outcomes[row].image_id for row in np.flatnonzero(both).tolist()]

    def measure(self, ratios: Sequence[float]) -> Iterator[tuple[float | None, Measurement]]:
        """(ratio, measurement): accuracy_network, of the network without noise; accuracy, of what is certified, an
        abstention counting as an error; abstention; radius_certified_l2, the mean radius with 0 for errors (the average
        certified radius of R. Zhai et al., "MACER", ICLR 2020); and at each ratio ball_l2, the mean norm of a
        perturbation, accuracy_empirical (unbroken) and accuracy_certified."""
        network = np.array([one.network_predicted == one.label for one in self.outcomes])
        abstained = np.array([one.certificate.predicted is None for one in self.outcomes])
        for name, chosen in (("accuracy_network", network), ("accuracy", self.right), ("abstention", abstained)):
            yield None, Measurement.of(name, self.units.proportion(chosen))
        yield None, Measurement.of("radius_certified_l2", mean(self.units, np.where(self.right, self.radii, 0.0)))
        for snr_db in ratios:
            yield snr_db, Measurement("ball_l2", float(self.balls(snr_db).mean()))
            for name, chosen in zip(CURVES, (self.unbroken(snr_db), self.certified(snr_db)), strict=True):
                yield snr_db, Measurement.of(name, self.units.proportion(chosen))


def image_rows(found: Sequence[Outcome]) -> pa.Table:
    rows = [
        {
            "image_id": one.image_id, "label": one.label, "network_prediction": one.network_predicted,
            "prediction": one.certificate.predicted, "hits": one.certificate.hits, "p_lower": one.certificate.p_lower,
            "radius_l2": one.certificate.radius_l2, "norm_l2": one.norm_l2,
            "certified_snr_db": _ratio(one), "broken_snr_db": one.broken_snr_db,
        }
        for one in found
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, IMAGES)


def read_rows(table: pa.Table) -> list[Outcome]:
    """What `image_rows` was made of."""
    return [
        Outcome(
            row["image_id"], row["label"], row["network_prediction"],
            Certificate(row["prediction"], row["radius_l2"], row["hits"], row["p_lower"]),
            row["norm_l2"], row["broken_snr_db"],
        )
        for row in table.to_pylist()
    ]  # fmt: skip


def _ratio(one: Outcome) -> float | None:
    radius = one.certificate.radius_l2
    return 20 * math.log10(one.norm_l2 / radius) if radius > 0 and one.norm_l2 > 0 else None


def cells(subject: Mapping[str, Any], measured: Sequence[tuple[float | None, Measurement]]) -> pa.Table:
    """`subject` has the columns up to method."""
    return pa.Table.from_pylist([{**subject, "snr_db": ratio, **one._asdict()} for ratio, one in measured], CELLS)


def tracked_metrics(table: pa.Table) -> dict[str, float]:
    """By their names in the tracked run: accuracy_certified/snr33 …, for other splits than the test images
    validation/accuracy_certified/snr33 …; with the method in front, as networks may be certified by both."""
    return {
        ("" if row["split"] == "test" else f"{row['split']}/")
        + f"{row['method']}/{row['metric']}"
        + ("" if row["snr_db"] is None else f"/snr{row['snr_db']:g}"): row["value"]
        for row in table.to_pylist()
        if row["value"] is not None
    }


def console_table(table: pa.Table) -> Table:
    """Accuracies in per cent with their 95 % intervals: a row for each ratio, and one without attack."""
    rows = {(row["snr_db"], row["metric"]): row for row in table.to_pylist()}
    shown = Table(title="accuracy, % (95 % interval)", box=SIMPLE_HEAD, caption_justify="left")
    for name in ("SNR, dB", "mean L2 radius", *CURVES.values()):
        shown.add_column(name, justify="right")
    clean = _per_cent(rows[None, "accuracy"])
    shown.add_row("none", "0", clean, clean)
    for snr_db in dict.fromkeys(ratio for ratio, _ in rows if ratio is not None):
        ball = rows[snr_db, "ball_l2"]["value"]
        shown.add_row(f"{snr_db:g}", f"{ball:.3f}", *(_per_cent(rows[snr_db, name]) for name in CURVES))
    said = units_said([row for row in rows.values() if row["unit"]])
    radius = rows[None, "radius_certified_l2"]["value"]
    network, abstained = (_per_cent(rows[None, name]) for name in ("accuracy_network", "abstention"))
    said.insert(0, f"The network itself, without noise: {network}. Abstentions: {abstained}.")
    said.insert(1, f"Mean certified L2 radius, 0 for errors: {radius:.3f}.")
    shown.caption = "\n".join(said)
    return shown


def _per_cent(row: Mapping[str, Any]) -> str:
    return f"{100 * row['value']:.1f} ({100 * row['low']:.1f} – {100 * row['high']:.1f})"
