"""What confusions cost: taking a stop sign for anything else is worse than taking one warning for another."""

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipelines.settings import Settings
from training.evaluation.classifiers.predicting import EvaluationError, Predictions
from training.evaluation.intervals.proportions import Interval
from training.evaluation.intervals.seeds import mean_over_seeds
from training.evaluation.report.answer import UNITS_SAID
from training.evaluation.report.contract import Block, Cell, Grid, Prose, Section, table
from training.evaluation.report.matrix import named_levels
from training.evaluation.report.subjects import Subject

__all__ = ["Hazards", "Rule", "costs_of", "hazard_section"]

Floats = NDArray[np.float64]
SPEED = re.compile(r"Speed limit \((\d+) ?km/h\)")
SHOWN = 10


class Rule(Settings):
    """A class of `shown` that is taken for one of `taken_for` costs `cost`: any other class, a faster speed limit, or
    some by name. `cost_per_kmh` is added for each km/h between two speed limits, of which `taken_for` is faster."""

    shown: tuple[str, ...] = Field(min_length=1)
    taken_for: Literal["any", "faster"] | tuple[str, ...]
    cost: float = Field(ge=0, allow_inf_nan=False)
    cost_per_kmh: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    why: str

    @model_validator(mode="after")
    def _speeds_are_graded(self) -> Self:
        if self.cost_per_kmh and self.taken_for != "faster":
            raise ValueError("cost_per_kmh: needs taken_for: faster")
        return self

    def cost_of(self, shown: str, taken_for: str) -> float | None:
        """None if the rule is about other confusions."""
        if shown not in self.shown:
            return None
        if self.taken_for == "faster":
            excess = _excess_kmh(shown, taken_for)
            return self.cost + self.cost_per_kmh * excess if excess > 0 else None
        return self.cost if self.taken_for == "any" or taken_for in self.taken_for else None


class Hazards(Settings):
    """Costs of confusions, relative to one of `default_cost`; the first rule that fits counts, and right predictions
    cost nothing. Classes by name, as on the card of the data set."""

    default_cost: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _something_costs(self) -> Self:
        if not self.default_cost and not any(rule.cost or rule.cost_per_kmh for rule in self.rules):
            raise ValueError("every confusion costs nothing; set default_cost or a rule's cost above 0")
        return self


class _Confusion(NamedTuple):
    label: int
    predicted: int
    cost: float
    images: float
    groups: int | None


def costs_of(hazards: Hazards, class_names: Sequence[str]) -> Floats:
    """(classes, classes): the cost of the label of the row being taken for the class of the column. Raises
    EvaluationError for names that the data set does not have."""
    named = {name for rule in hazards.rules for name in rule.shown}
    named |= {name for rule in hazards.rules if isinstance(rule.taken_for, tuple) for name in rule.taken_for}
    if unknown := sorted(named - set(class_names)):
        raise EvaluationError(
            f"hazards: {', '.join(unknown)}: no such class; the data set has {', '.join(class_names)}"
        )
    costs = np.full((len(class_names),) * 2, hazards.default_cost)
    for label, shown in enumerate(class_names):
        for predicted, taken_for in enumerate(class_names):
            found = (rule.cost_of(shown, taken_for) for rule in hazards.rules)
            costs[label, predicted] = next((cost for cost in found if cost is not None), hazards.default_cost)
    np.fill_diagonal(costs, 0.0)
    return costs


def _excess_kmh(shown: str, taken_for: str) -> int:
    """0 if one of them is not a speed limit."""
    speeds = [SPEED.fullmatch(name) for name in (shown, taken_for)]
    low, high = (int(speed[1]) if speed else 0 for speed in speeds)
    return high - low if low and high else 0


def hazard_section(subjects: Sequence[Subject], hazards: Hazards) -> Section:
    """Raises EvaluationError."""
    names = next(iter(subjects[0].found.values()))[0].class_names
    costs = costs_of(hazards, names)
    said = (
        f"A confusion costs {hazards.default_cost:g} unless a rule below says otherwise. Costs are a proposal: "
        "replace them by those of your own hazard analysis (the file that hazards=… names). An average of 0.5 can be "
        "half of all images confused at a cost of 1, or one in twenty at a cost of 10."
    )
    rules = [
        f"{', '.join(rule.shown)} taken for "
        f"{rule.taken_for if isinstance(rule.taken_for, str) else ', '.join(rule.taken_for)}: {rule.cost:g}"
        f"{f' and {rule.cost_per_kmh:g} for each km/h more' if rule.cost_per_kmh else ''}, since {rule.why}"
        for rule in hazards.rules
    ]
    blocks: list[Block] = [
        Prose([said]),
        _grid(subjects, costs),
        *_worst(subjects, costs, names),
    ]
    if rules:
        blocks.append(Prose(rules, listed=True))
    return Section("hazards", "What do its confusions cost?", blocks)


def _cost(found: Predictions, costs: Floats) -> Floats:
    """(N,)."""
    own: Floats = costs[found.labels, found.predicted]
    return own


def _mean_cost(subject: Subject, variant: str, costs: Floats) -> Interval:
    found = subject.found[variant]
    return mean_over_seeds(found[0].units, np.array([_cost(one, costs) for one in found]))


def _grid(subjects: Sequence[Subject], costs: Floats) -> Grid:
    rows, data = [], []
    for variant in named_levels(subjects):
        cells = [Cell(variant)]
        for subject in subjects:
            if variant not in subject.found:
                cells.append(Cell("not shown"))
                continue
            found = _mean_cost(subject, variant, costs)
            low, high = (0.0 if end is None else end for end in (found.low, found.high))
            cells.append(Cell(f"{found.value:.3f}", f"{max(0.0, low):.3f} – {high:.3f}"))
            data.append(
                {"subject": subject.label, "variant": variant, "cost": found.value, "low": low, "high": high,
                 "images": found.images, "groups": found.groups}
            )  # fmt: skip
        rows.append(cells)
    units = dict.fromkeys(found[0].units.unit for one in subjects for found in one.found.values())
    counted = " or ".join(UNITS_SAID[unit] for unit in units)
    caption = f"Mean cost of an image, over the seeds; below, its 95 % interval over seeds and objects ({counted})"
    header = ["variant", *(subject.label for subject in subjects)]
    return Grid("costs", caption, header, rows, table(data, {"images", "groups"}, {"subject", "variant"}))


def _worst(subjects: Sequence[Subject], costs: Floats, names: Sequence[str]) -> list[Grid]:
    """The confusions of each subject that cost the most, over all noisy variants of named levels."""
    variants = named_levels(subjects)
    return [_worst_of(subject, [one for one in variants if one in subject.found], costs, names) for subject in subjects]


def _worst_of(subject: Subject, variants: Sequence[str], costs: Floats, names: Sequence[str]) -> Grid:
    found = [_confusion(subject, variants, costs, *pair) for pair in _confused(subject, variants)]
    ranked = sorted(found, key=lambda one: (-one.cost * one.images, one.label, one.predicted))
    rows = [
        [
            Cell(f"{one.label} {names[one.label]}"), Cell(f"{one.predicted} {names[one.predicted]}"),
            Cell(f"{one.cost:g}"), Cell(f"{one.images:,.0f}"), Cell(str(one.groups or "unknown")),
            Cell(f"{one.cost * one.images:,.0f}"),
        ]
        for one in ranked[:SHOWN]
    ]  # fmt: skip
    data: list[dict[str, Any]] = [
        {"subject": subject.label, "class": names[one.label], "taken_for": names[one.predicted], "label": one.label,
         "predicted": one.predicted, "cost": one.cost, "images": one.images, "groups": one.groups}
        for one in ranked
    ]  # fmt: skip
    caption = (
        f"{subject.label}: the confusions that cost the most, over {len(variants)} variants (images: mean over seeds)"
    )
    header = ["sign", "taken for", "cost of one", "images", "objects", "cost in all"]
    texts, whole = {"subject", "class", "taken_for"}, {"label", "predicted", "groups"}
    return Grid(f"costliest_{subject.letter}", caption, header, rows, table(data, whole, texts))


def _confused(subject: Subject, variants: Sequence[str]) -> list[tuple[int, int]]:
    found = {
        (int(label), int(predicted))
        for variant in variants
        for one in subject.found[variant]
        for label, predicted in zip(one.labels[~one.right], one.predicted[~one.right], strict=True)
    }
    return sorted(found)


def _confusion(subject: Subject, variants: Sequence[str], costs: Floats, label: int, predicted: int) -> _Confusion:
    hits = [
        (one, (one.labels == label) & (one.predicted == predicted))
        for variant in variants
        for one in subject.found[variant]
    ]
    groups: set[str] | None = set()
    for one, rows in hits:
        if one.groups is None or groups is None:
            groups = None
        else:
            groups |= set(one.groups[rows].tolist())
    images = sum(int(rows.sum()) for _, rows in hits) / subject.seeds
    return _Confusion(label, predicted, float(costs[label, predicted]), images, None if groups is None else len(groups))
