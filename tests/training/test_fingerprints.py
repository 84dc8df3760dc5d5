"""Settings of older runs, as they were kept, have the fingerprints that they had when tests/golden/fingerprints.json
was written, whatever keys have been added since."""

import json
from pathlib import Path
from typing import Annotated, Any

import pytest

from pipelines.settings import AddedLater, Settings, choose, decisive_values, describe
from training.attacks import ATTACKS
from training.classifiers.settings import TrainClassifier
from training.evaluation.gans.evaluation import GanEvaluation
from training.gans.settings import TrainGan
from training.joint.settings import TrainRobust
from training.objectives import CrossEntropy
from training.retraining.gate import Gate

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "fingerprints.json").read_text())
RUNS: dict[str, type[TrainClassifier | TrainGan | TrainRobust]] = {
    "classifier": TrainClassifier,
    "gan": TrainGan,
    "robust": TrainRobust,
}
MARK = "a key is new: mark it AddedLater, so that the runs that were before it can still be resumed"


@pytest.mark.parametrize("name", GOLDEN["runs"])
def test_a_training_run_keeps_its_fingerprint(name: str) -> None:
    run = GOLDEN["runs"][name]
    settings = RUNS[name.split()[0]].model_validate_json(json.dumps(run["settings"]))
    assert settings.fingerprint({"clean": "d1"}, 2) == run["fingerprint"], MARK


@pytest.mark.parametrize("name", GOLDEN["other"])
def test_attacks_gate_and_evaluations_keep_the_inputs_of_their_digests(name: str) -> None:
    """Adding a key must not cause a batch to be compared or a data set to be attacked again."""
    values = GOLDEN["other"][name]
    found: dict[str, Any] = {}
    if name.startswith("attack"):
        attack = choose(ATTACKS, values)
        found = {"kind": attack.kind, **decisive_values(attack)}
    elif name == "gate":
        without_floor = {**values, "minimum_accuracy": 0.0}  # its default decides otherwise, so its digest is another
        found = decisive_values(Gate.model_validate_json(json.dumps(without_floor)))
    else:
        found = decisive_values(GanEvaluation.model_validate_json(json.dumps(values)))
    assert found == values, MARK


def test_the_objective_came_later() -> None:
    run = GOLDEN["runs"]["classifier baseline_cnn"]["settings"]
    assert "objective" not in run
    given = TrainClassifier.model_validate_json(json.dumps({**run, "objective": "cross_entropy"}))
    assert given.objective == CrossEntropy()
    assert "objective" not in decisive_values(given)
    assert given.model_dump(mode="json")["objective"] == {"kind": "cross_entropy"}, "a record says it all the same"


class Inner(Settings):
    kind: str = "inner"
    depth: int = 2
    width: Annotated[int, AddedLater(before=1)] = 1


class Wider(Inner):
    """The default has been changed after the key was added."""

    width: Annotated[int, AddedLater(before=1)] = 8


class Outer(Settings):
    seed: int = 0
    inner: Inner = Inner()
    noise: Annotated[float | None, AddedLater(before=None)] = None
    folder: str = "x"


def test_a_later_key_changes_the_fingerprint_if_it_has_another_value() -> None:
    assert decisive_values(Outer(), {"folder"}) == {"seed": 0, "inner": {"kind": "inner", "depth": 2}}
    assert decisive_values(Outer(noise=0.5))["noise"] == 0.5
    assert decisive_values(Outer(inner=Inner(width=3)))["inner"] == {"kind": "inner", "depth": 2, "width": 3}


def test_a_changed_default_gives_a_new_fingerprint_and_the_old_value_the_old_one() -> None:
    assert decisive_values(Wider()) != decisive_values(Inner())
    assert decisive_values(Wider(width=1)) == decisive_values(Inner())
    assert decisive_values(Wider()) == decisive_values(Inner(width=8))


def test_a_description_is_complete() -> None:
    assert describe(Inner()) == {"kind": "inner", "depth": 2, "width": 1}
