"""What an evaluation shows of the insides of networks, if it is asked to: saliency maps and the load of units."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from pipelines.store.schema import CLEAN
from training.evaluation.classifiers.figures import save
from training.evaluation.classifiers.flips import images_by_id
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.classifiers.sampling import random_sample
from training.evaluation.classifiers.table import write_table
from training.evaluation.robustness.evaluation import EvaluatedModel, Result, by_size, folder_name
from training.evaluation.robustness.settings import Evaluation
from training.evaluation.units.table import SCHEMA, measure_units, shown_units
from training.streams.stream import Data

__all__ = ["write_insides"]


def write_insides(
    settings: Evaluation, models: Mapping[str, EvaluatedModel], result: Result, folder: Path, console: Console
) -> None:
    """Into the folder of the result: <model>/figures/saliency-<variant>.png (settings.saliency), and units.parquet and
    units.csv (settings.unit_load). What cannot be shown is printed. Raises StreamError and EvaluationError."""
    rows: list[dict[str, Any]] = []
    for size_px, names in by_size(models).items():
        data = settings.data_at(size_px).model_copy(update={"verify": False})  # it has been verified
        for name in names:
            own = {variant: found for (model, variant), found in result.predictions.items() if model == name}
            if settings.saliency.images:
                _write_saliency(settings, name, models[name], own, data, folder, console)
            if settings.unit_load.images:
                rows += _units(settings, name, models[name], own, data, console)
    if rows:
        write_table(
            pa.Table.from_pylist([{key: row.get(key) for key in SCHEMA.names} for row in rows], SCHEMA), folder, "units"
        )


def _write_saliency(
    settings: Evaluation, name: str, model: EvaluatedModel, own: Mapping[str, Predictions], data: Data, folder: Path,
    console: Console,
) -> None:  # fmt: skip
    from training.evaluation.saliency.choosing import saliency_figures  # captum takes seconds to import

    variants = list(own)
    drawn, said = saliency_figures(settings.saliency, name, model.classifier, own, variants, data, settings.split)
    for variant, figure in drawn.items():
        save(figure, folder / folder_name(name) / "figures" / f"saliency-{variant}.png")
    console.print(*said, sep="\n", end="\n" if said else "")


def _units(
    settings: Evaluation, name: str, model: EvaluatedModel, own: Mapping[str, Predictions], data: Data, console: Console
) -> list[dict[str, Any]]:
    if CLEAN not in own:
        console.print(f"no load of units of {name}: {CLEAN} is not among the variants")
        return []
    found = own[CLEAN].at(random_sample(own[CLEAN].image_ids, settings.unit_load.images))
    images = images_by_id(data, settings.split, found.variant, found.image_ids.tolist())
    pixels = np.stack([images[image_id] for image_id in found.image_ids.tolist()])
    rows = measure_units(settings.unit_load, name, model.classifier, found, pixels, settings.batch_size, settings.split)
    if rows:
        console.print(shown_units(rows))
    else:
        console.print(f"no load of units of {name}: it has no activation that could be found")
    return rows
