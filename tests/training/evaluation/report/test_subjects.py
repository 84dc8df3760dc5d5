"""The recipes of a report: their order, their names, and what counts as several seeds."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from ladder_predictions import by_model, subject
from small_attacks import classifier

from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.report.subjects import find_subjects
from training.evaluation.robustness.evaluation import EvaluatedModel, Result


def model(seed: int, **recipe: Any) -> EvaluatedModel:
    return EvaluatedModel(replace(classifier(), about={"settings": {"seed": seed, "data": {}, **recipe}}), None)


def result(*middles: float, name: str) -> Result:
    found = by_model(subject("A", *middles, name=name))
    return Result(dict(reversed(found.items())), pa.table({}), "0", [], [], pa.table({}))


def test_seeds_of_one_recipe_are_one_subject_with_variants_in_order() -> None:
    (found,) = find_subjects(result(14.0, 15.0, name="cnn"), {"cnn-seed0": model(0), "cnn-seed1": model(1)})
    assert (found.letter, found.seeds, found.models) == ("A", 2, ["cnn-seed0", "cnn-seed1"])
    assert list(found.found)[:4] == ["clean", "gaussian-min", "gaussian-avg", "gaussian-max"]
    accuracies = [one.right.mean() for one in found.found["gaussian-avg"]]
    assert found.accuracy("gaussian-avg").value == pytest.approx(np.mean(accuracies))


def test_names_lose_what_tells_runs_apart_and_can_be_given() -> None:
    name = "20261127-045610-baseline_cnn-40px-seed0-08e15c"
    made = by_model(subject("A", 14.0))
    found = Result(
        {(name, variant): one for (_, variant), one in made.items()}, pa.table({}), "0", [], [], pa.table({})
    )
    (plain,) = find_subjects(found, {name: model(0)})
    assert plain.label == "A baseline_cnn-40px-seed0"
    (given,) = find_subjects(found, {name: model(0)}, ["mine"])
    assert given.label == "A mine"
    (long,) = find_subjects(found, {name: model(0)}, ["a" * 30 + "b" * 30])
    assert long.name == "a" * 16 + "…" + "b" * 16
    with pytest.raises(EvaluationError, match="names: 2 names for 1 recipes"):
        find_subjects(found, {name: model(0)}, ["one", "two"])
