"""The decision of the gate: a table of cells, a sentence, and one canonical JSON document with its SHA-256."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from pipelines.errors import RoadsignError
from training.evaluation.intervals.proportions import Unit

__all__ = ["SCHEMA", "Compared", "Decision", "Verdict", "canonical_json", "document", "sha256"]

Verdict = Literal["worse", "better", "no difference", "no champion", "below the minimum"]
FORMAT = 1
DIGITS = 9
_NUMBERS = (
    "champion", "challenger", "challenger_low", "challenger_high", "difference", "low", "high", "design_effect",
    "p_worse", "p_worse_corrected", "p_better", "p_better_corrected",
)  # fmt: skip
ALWAYS = ("challenger", "challenger_low", "challenger_high")
SCHEMA = pa.schema(
    [
        pa.field("cell", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        *(
            pa.field(name, pa.int64(), nullable=False)
            for name in ("images", "groups", "champion_seeds", "challenger_seeds")
        ),
        *(pa.field(name, pa.float64(), nullable=name not in ALWAYS) for name in _NUMBERS),
        pa.field("verdict", pa.string(), nullable=False),
    ]
)
"""The schema of Decision.table. champion and challenger are accuracies, means over their seeds; challenger_low and
challenger_high are the 95 % interval of the challenger's, low and high that of the difference. `unit` is what counts as
one observation (intervals.proportions.Unit), `groups` how many there are; design_effect is the variance of the
difference (without a champion: of the accuracy) over its variance if all images were independent. The p-values are
one-sided, for the null hypotheses of no loss beyond the margin and of no gain, uncorrected and corrected for all cells.
They are null if there is no champion, as are its accuracy and the difference."""


class DecisionError(RoadsignError):
    """A decision has a value that cannot be written."""


class Compared(NamedTuple):
    """One cell, a row of SCHEMA."""

    cell: str
    unit: Unit
    images: int
    groups: int
    champion_seeds: int
    challenger_seeds: int
    challenger: float
    challenger_low: float
    challenger_high: float
    verdict: Verdict
    design_effect: float | None
    champion: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_worse: float | None = None
    p_worse_corrected: float | None = None
    p_better: float | None = None
    p_better_corrected: float | None = None


class Decision(NamedTuple):
    """`reasons` are all reasons of the verdict, `notes` what limits it; `sentence` has the reasons and the
    accuracies."""

    promoted: bool
    sentence: str
    cells: tuple[Compared, ...]
    flags: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> pa.Table:
        return pa.Table.from_pylist([compared._asdict() for compared in self.cells], SCHEMA)

    def named(self, cell: str) -> Compared:
        return next(one for one in self.cells if one.cell == cell)


def document(decision: Decision, facts: Mapping[str, Any]) -> bytes:
    """The decision and the `facts` that it rests on (digests, settings) as canonical JSON with a final newline. It has
    neither times nor ids that are drawn at random, so the same comparison has the same bytes. Raises DecisionError."""
    values = {
        "format": FORMAT,
        "verdict": "promoted" if decision.promoted else "not promoted",
        "reasons": decision.reasons,
        "notes": decision.notes,
        "flags": decision.flags,
        "sentence": decision.sentence,
        "cells": [compared._asdict() for compared in decision.cells],
        **facts,
    }
    return canonical_json(values) + b"\n"


def canonical_json(values: object) -> bytes:
    """ASCII, keys sorted, no spaces; floats are rounded to nine significant digits and written as the shortest decimal
    that reads back as the same float; no −0, NaN or infinity. Raises DecisionError."""
    try:
        return json.dumps(_plain(values), sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError) as error:
        raise DecisionError(f"the decision cannot be written as JSON: {error}") from None


def sha256(written: bytes) -> str:
    return hashlib.sha256(written).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        if unfit := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"key {unfit[0]!r} is not a string")
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not finite")
        return float(f"{value:.{DIGITS}g}") + 0.0
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(one) for one in value]
    return value
