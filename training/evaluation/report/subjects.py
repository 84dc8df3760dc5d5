"""What a report compares: recipes, each of one or several networks that differ in their seed alone."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from training.evaluation.classifiers.predicting import EvaluationError, Predictions
from training.evaluation.classifiers.variants import in_order
from training.evaluation.intervals.proportions import Interval
from training.evaluation.intervals.seeds import over_seeds
from training.evaluation.robustness.evaluation import EvaluatedModel, Result
from training.evaluation.robustness.recipes import seeds_of_recipes

__all__ = ["Subject", "find_subjects"]

LONGEST = 34


class Subject(NamedTuple):
    """`letter` (A, B, …) stands for it in figures and tables, `name` is short enough for a legend, `models` are the
    names of its networks. `found` by variant has the predictions of each of its networks, for variants that all of them
    were shown; adversarial images are those of the first network alone, and `attacked` has them."""

    letter: str
    name: str
    models: Sequence[str]
    found: Mapping[str, Sequence[Predictions]]
    attacked: Mapping[str, Predictions]

    @property
    def label(self) -> str:
        return f"{self.letter} {self.name}"

    @property
    def seeds(self) -> int:
        return len(self.models)

    @property
    def seeds_said(self) -> str:
        return "single network" if self.seeds == 1 else f"{self.seeds} seeds"

    def accuracy(self, variant: str) -> Interval:
        """Over the seeds and the groups of images."""
        found = self.found[variant]
        if len(found) == 1:
            return found[0].units.proportion(found[0].right)
        return over_seeds(found[0].units, np.array([one.right for one in found])).interval


def find_subjects(result: Result, models: Mapping[str, EvaluatedModel], names: Sequence[str] = ()) -> list[Subject]:
    """In the order of `models`; `names` are those of the first subjects, where they are to have others. Raises
    EvaluationError if there are more names than recipes."""
    recipes = seeds_of_recipes({name: model.classifier for name, model in models.items()})
    if len(names) > len(recipes):
        raise EvaluationError(f"names: {len(names)} names for {len(recipes)} recipes, {', '.join(map(str, recipes))}")
    subjects = []
    for number, members in enumerate(recipes):
        unordered = {one.shown: one for (name, _), one in result.predictions.items() if name == members[0]}
        own = {shown.variant: unordered[shown] for shown in in_order(unordered)}
        found = {
            variant: [result.predictions[name, variant] for name in members]
            for variant, one in own.items()
            if one.attack is None and all((name, variant) in result.predictions for name in members)
        }
        attacked = {variant: one for variant, one in own.items() if one.attack is not None}
        subjects.append(
            Subject(
                _letter(number),
                _name(members, names[number] if number < len(names) else None),
                members,
                found,
                attacked,
            )
        )
    return subjects


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"{_letter(number // 26 - 1)}{_letter(number % 26)}"


def _name(names: Sequence[str], given: str | None) -> str:
    """Without the time and the digits that tell runs apart, and of several without the seed; cut in the middle to the
    length of a legend."""
    name = given or re.sub(r"^\d{8}-\d{6}-|-[0-9a-f]{6,8}$", "", names[0])
    if len(names) > 1:
        name = re.sub(r"-seed\d+", "", name)
    if len(name) <= LONGEST:
        return name
    half = (LONGEST - 1) // 2
    return f"{name[:half]}…{name[-half:]}"
