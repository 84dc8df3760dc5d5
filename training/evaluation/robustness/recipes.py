"""Networks that differ in nothing but the seed of their training, together: a table of recipes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipelines.store.shown import Shown
from training.classifiers.any_classifier import AnyClassifier
from training.classifiers.settings import WITHOUT_EFFECT, WITHOUT_EFFECT_IN_DATA
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.classifiers.variants import in_order
from training.evaluation.intervals.seeds import over_seeds

__all__ = ["SCHEMA", "measure_recipes", "seeds_of_recipes", "shown_recipes"]

SCHEMA = pa.schema(
    [
        pa.field("models", pa.string(), nullable=False),
        pa.field("noise", pa.string(), nullable=False),
        pa.field("level", pa.string(), nullable=False),
        pa.field("seeds", pa.int32(), nullable=False),
        pa.field("accuracy", pa.float64(), nullable=False),
        pa.field("sd", pa.float64(), nullable=False),
        pa.field("low", pa.float64(), nullable=False),
        pa.field("high", pa.float64(), nullable=False),
        pa.field("images", pa.int64(), nullable=False),
        pa.field("groups", pa.int64()),
        pa.field("design_effect", pa.float64()),
        pa.field("unit", pa.string(), nullable=False),
    ]
)
"""`models` are names with commas between them. `accuracy` is the mean over `seeds`, `sd` their standard deviation; low
and high are the 95 % interval of the mean over seeds and groups (intervals.seeds); the other columns are those of
classifiers.table, the design effect with the variance between seeds."""
NOT_THE_RECIPE = WITHOUT_EFFECT | {"seed", "cache"}


def measure_recipes(
    predictions: Mapping[tuple[str, str], Predictions], models: Mapping[str, AnyClassifier]
) -> pa.Table:
    """A row per variant for each recipe that has several seeds among the models; adversarial images, which are of one
    network, are left out."""
    rows: list[dict[str, Any]] = []
    for names in (names for names in seeds_of_recipes(models) if len(names) > 1):
        variants = {variant: found for (name, variant), found in predictions.items() if name == names[0]}
        for variant, first in variants.items():
            found = [predictions[name, variant] for name in names if (name, variant) in predictions]
            if first.attack is not None or len(found) < len(names):
                continue
            measured = over_seeds(first.units, np.array([one.right for one in found]))
            interval = measured.interval._asdict()
            rows.append(
                {"models": ", ".join(names), **first.shown._asdict(), "seeds": measured.seeds, "sd": measured.sd}
                | interval
                | {"accuracy": interval["value"]}
            )
    return pa.Table.from_pylist([{name: row[name] for name in SCHEMA.names} for row in rows], SCHEMA)


def shown_recipes(table: pa.Table) -> list[Table]:
    """Accuracies in per cent for the console, a table for each recipe."""
    return [
        _shown_recipe([row for row in table.to_pylist() if row["models"] == models])
        for models in dict.fromkeys(table["models"].to_pylist())
    ]


def _shown_recipe(rows: Sequence[Mapping[str, Any]]) -> Table:
    title = f"accuracy over {rows[0]['seeds']} seeds, %"
    shown = Table(title=title, box=SIMPLE_HEAD, caption=rows[0]["models"], caption_justify="left")
    by_variant = {Shown(row["noise"], row["level"]): row for row in rows}
    shown.add_column("variant", no_wrap=True, min_width=max((len(one.variant) for one in by_variant), default=0))
    shown.add_column("mean ± standard deviation", justify="right")
    shown.add_column("95 % interval, seeds and objects", justify="right")
    for variant in in_order(by_variant):
        mean, sd, low, high = (f"{100 * by_variant[variant][name]:.2f}" for name in ("accuracy", "sd", "low", "high"))
        shown.add_row(variant.variant, f"{mean} ± {sd}", f"{low} – {high}")
    return shown


def seeds_of_recipes(models: Mapping[str, AnyClassifier]) -> list[list[str]]:
    """The names of models by recipe: those of one differ in their seeds alone. A model that does not say how it was
    trained, as one from outside, is a recipe of its own."""
    found: dict[str, dict[int, str]] = {}
    for name, classifier in models.items():
        settings = classifier.about.get("settings", {})
        if "seed" not in settings:
            found[f"model {name}"] = {0: name}
            continue
        recipe = {key: value for key, value in settings.items() if key not in NOT_THE_RECIPE}
        data = settings.get("data", {})
        recipe["data"] = {key: value for key, value in data.items() if key not in WITHOUT_EFFECT_IN_DATA}
        recipe["datasets"] = classifier.about.get("datasets")
        found.setdefault(json.dumps(recipe, sort_keys=True, default=str), {}).setdefault(settings["seed"], name)
    return [list(names.values()) for names in found.values()]
