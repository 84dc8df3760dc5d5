"""What the networks are proven to withstand, from the folders of jobs/certify_classifier.py."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.store.schema import CLEAN, Split
from training.evaluation.certification.table import CELLS, CURVES
from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.report.contract import Block, Cell, Grid, Picture, Prose, Section, table
from training.evaluation.report.style import COLOURS, MARKERS, grid_of_axes
from training.evaluation.report.subjects import Subject
from training.evaluation.robustness.evaluation import EvaluatedModel

__all__ = ["certified_section"]

FILE = "certification.parquet"
TEXTS = {"model", "method", "metric", "unit", "dataset_digest"}
Row = Mapping[str, Any]


class _Certification(NamedTuple):
    """`rows` by (metric, ratio in decibels; None for what does not depend on it)."""

    name: str
    rows: Mapping[tuple[str, float | None], Row]

    @property
    def ratios(self) -> list[float]:
        """The weakest perturbation first."""
        return sorted({ratio for _, ratio in self.rows if ratio is not None}, reverse=True)


def certified_section(
    folders: Sequence[Path], subjects: Sequence[Subject], models: Mapping[str, EvaluatedModel], split: Split
) -> Section:
    """`folders` each certify one of `models` on images of `split`. Raises EvaluationError."""
    found = [_read(folder, subjects, models, split) for folder in folders]
    said = (
        "Certified: no perturbation of this signal-to-noise ratio, whatever attack makes it, changes the right answer. "
        "Empirical: the attack that was tried found none. The truth lies between. A network certified by smoothing "
        "is the smoothed one, which sees each image under much noise; its accuracy without attack is that of the first "
        "row."
    )
    blocks: list[Block] = [Prose([said]), _grid(found), _picture(found)]
    return Section("certified", "What is proven?", blocks)


def _read(
    folder: Path, subjects: Sequence[Subject], models: Mapping[str, EvaluatedModel], split: Split
) -> _Certification:
    try:
        rows = pq.read_table(folder / FILE, schema=CELLS).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise EvaluationError(
            f"certificates={folder}: {FILE} cannot be read ({error}); name a folder that jobs/certify_classifier.py "
            "has made"
        ) from None
    letters = {model: subject.letter for subject in subjects for model in subject.models}
    first = rows[0]
    model = next((name for name, one in models.items() if first["run"] and one.run == first["run"]), first["model"])
    if model not in letters:
        raise EvaluationError(
            f"certificates={folder}: is of {first['model']}, which is not in this report; leave it out, or add it to "
            f"models (now {', '.join(models)})"
        )
    shown = {one.found[CLEAN][0].dataset_digest for one in subjects if CLEAN in one.found and model in one.models}
    if first["split"] != split or (shown and first["dataset_digest"] not in shown):
        raise EvaluationError(
            f"certificates={folder}: is of other images (split {first['split']}, digest "
            f"{first['dataset_digest'][:12]}) than this report (split {split}); certify the network on these images"
        )
    name = f"{letters[model]}: {model}, {first['method']}"
    return _Certification(name, {(row["metric"], row["snr_db"]): row for row in rows})


def _grid(found: Sequence[_Certification]) -> Grid:
    ratios = sorted({ratio for one in found for ratio in one.ratios}, reverse=True)
    rows = [[Cell("no attack"), *(_cell(one.rows["accuracy", None]) for one in found for _ in CURVES)]]
    rows += [
        [Cell(f"{ratio:g} dB"), *(_cell(one.rows.get((metric, ratio))) for one in found for metric in CURVES)]
        for ratio in ratios
    ]
    data = [{**row, "model": one.name} for one in found for row in one.rows.values()]
    names = (
        "model",
        "dataset_digest",
        "method",
        "snr_db",
        "metric",
        "value",
        "low",
        "high",
        "images",
        "groups",
        "unit",
    )
    kept = [{name: row[name] for name in names} for row in data]
    header = ["signal-to-noise ratio", *(f"{one.name}, {kind}" for one in found for kind in CURVES.values())]
    caption = "Images right, %, with 95 % interval; an abstention counts as an error"
    return Grid("certified", caption, header, rows, table(kept, {"images", "groups"}, TEXTS))


def _cell(row: Row | None) -> Cell:
    if row is None:
        return Cell("not measured")
    return Cell(f"{100 * row['value']:.1f}", f"{100 * row['low']:.1f} – {100 * row['high']:.1f}", row["value"])


def _picture(found: Sequence[_Certification]) -> Picture:
    figure, (axis,) = grid_of_axes(1, 1, (6.4, 3.6))
    for number, one in enumerate(found):
        look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "markersize": 4.0}
        for metric, kind in CURVES.items():
            rows = [one.rows[metric, ratio] for ratio in one.ratios]
            values, low, high = 100 * np.array([[row[key] for row in rows] for key in ("value", "low", "high")], float)
            style = "-" if kind == "certified" else ":"
            label = f"{one.name}, {kind}"
            axis.errorbar(one.ratios, values, [values - low, high - values], linestyle=style, label=label, **look)  # type: ignore[arg-type]
    axis.invert_xaxis()
    axis.set(ylim=(0, 102), xlabel="signal-to-noise ratio in L2, dB: stronger to the right", ylabel="accuracy, %")
    axis.grid(visible=True)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), fontsize=7)
    caption = "Certified accuracy (solid) and accuracy under the attack that was tried (dotted)."
    return Picture("certified_accuracy", figure, caption, caption)
