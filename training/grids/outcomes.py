"""What a network got right under each noise and attack, kept on disk so that a grid goes on after a kill."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.errors import RoadsignError
from pipelines.store.shown import Shown
from training.evaluation.classifiers.files import replacing
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.intervals.proportions import DesignEffect, Units

__all__ = ["GridError", "Outcome", "read_outcomes", "write_outcomes"]

FACTS = b"outcomes"


class GridError(RoadsignError):
    """A grid has trainings without a result, or its files cannot be used."""


@dataclass(frozen=True)
class Outcome:
    """Of N images in order of their ids: whether each was predicted correctly, and which object it shows; `groups`,
    `recovered` and `design_effect` as in Predictions."""

    shown: Shown
    image_ids: NDArray[np.str_]
    right: NDArray[np.bool_]
    groups: NDArray[np.str_] | None
    recovered: bool
    design_effect: DesignEffect | None

    @classmethod
    def of(cls, found: Predictions, shown: Shown | None = None) -> "Outcome":
        return cls(
            shown or found.shown, found.image_ids, found.right, found.groups, found.recovered, found.design_effect
        )

    @property
    def units(self) -> Units:
        if self.groups is None:
            return Units.unknown(self.design_effect)
        return Units.of_groups(self.groups, self.recovered)

    def at(self, image_ids: NDArray[np.str_]) -> "Outcome":
        """The outcome for the images that are among `image_ids`, a random sample of them."""
        rows = np.isin(self.image_ids, image_ids)
        groups = None if self.groups is None else self.groups[rows]
        effect = self.design_effect and self.design_effect.thinned(float(rows.mean()))
        return Outcome(self.shown, self.image_ids[rows], self.right[rows], groups, self.recovered, effect)


def write_outcomes(outcomes: Sequence[Outcome], path: Path) -> None:
    """Raises EvaluationError if the disk refuses."""
    facts = [
        {"noise": one.shown.noise, "level": one.shown.level, "images": len(one.right), "recovered": one.recovered,
         "groups": one.groups is not None, "design_effect": one.design_effect}
        for one in outcomes
    ]  # fmt: skip
    none = np.array([], np.str_)
    columns = {
        "image_id": np.concatenate([one.image_ids for one in outcomes] or [none]),
        "right": np.concatenate([one.right for one in outcomes] or [np.array([], bool)]),
        "group": np.concatenate(
            [np.full(len(one.right), "") if one.groups is None else one.groups for one in outcomes] or [none]
        ),
    }
    table = pa.table(columns).replace_schema_metadata({FACTS: json.dumps(facts)})
    with replacing(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def read_outcomes(path: Path) -> list[Outcome]:
    """Raises GridError."""
    try:
        table = pq.read_table(path)
        facts = json.loads((table.schema.metadata or {})[FACTS])
        outcomes, start = [], 0
        for one in facts:
            rows = table.slice(start, one["images"])
            start += one["images"]
            effect = one["design_effect"]
            outcomes.append(
                Outcome(
                    Shown(one["noise"], one["level"]),
                    np.array(rows["image_id"].to_pylist(), np.str_),
                    rows["right"].to_numpy(),
                    np.array(rows["group"].to_pylist(), np.str_) if one["groups"] else None,
                    one["recovered"],
                    DesignEffect(*effect) if effect else None,
                )
            )
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise GridError(f"{path}: not readable ({error}); remove it, and it is made again") from None
    return outcomes
