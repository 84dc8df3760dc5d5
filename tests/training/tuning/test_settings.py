"""Which studies are refused before anything is trained."""

from pathlib import Path

import pytest

from pipelines.errors import SettingsError
from pipelines.settings import load
from training.classifiers.arguments import own_and_trainings
from training.tuning.settings import Trainings, Tune

CONF = Path(__file__).parents[3] / "conf"


def trainings(*arguments: str, given: tuple[str, ...] = ("data.root=x",)) -> Trainings:
    tune = load(Tune, CONF / "tune.yaml", ["study=baseline_cnn", *arguments])
    return Trainings.of(tune, CONF / "train_classifier.yaml", given)


@pytest.mark.parametrize("path", sorted((CONF / "study").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_has_a_search_that_its_training_accepts(path: Path) -> None:
    found = trainings(f"study={path.stem}")
    assert path.stem == load(Tune, CONF / "tune.yaml", [f"study={path.stem}"]).study.name
    assert found.load({}).resume == "auto"
    assert found.load({}).tracking.experiment == "tuning"


@pytest.mark.parametrize(
    "argument, problem",
    [
        ("trials=0", "trials: "),
        ("workers=0", "workers: "),
        ("split=test", "settings that were chosen on the test images"),
        ("study.name=a/b", "study.name: "),
        ("study.search={}", "study.search: "),
        ("study.search={lr: {low: 0.2, high: 0.1}}", "low is 0.2 and high is 0.1"),
        ("study.search={seed: {choices: [0, 1]}}", "luckiest seed"),
        ("study.search={data.mixture.clean: {low: 0.0, high: 1.0}}", "easiest images"),
        ("study.search={device: {choices: [cpu, cuda]}}", "does not change the weights"),
        ("study.search={augmentation: {choices: [a, b]}, augmentation.gamma: {low: 0, high: 1}}", "is a part of"),
        ("study.search={learning_rate: {low: 0.1, high: 0.2}}", "learning_rate: unknown key; there are: .*lr"),
        ("study.search={model.droput: {low: 0.1, high: 0.2}}", "droput: unknown key; there are: .*dropout"),
        ("study.search={lr: {choices: [fast, 0.1]}}", "study.search.lr: lr=fast is refused"),
        ("study.search={batch_size: {choices: [64, 12.5]}}", "study.search.batch_size: batch_size=12.5 is refused"),
        ("study.search={model.dropout: {low: 0.5, high: 1.5}}", "study.search.model.dropout: model.dropout=1.5"),
        ("study.settings=[lr=0.1]", "lr=0.1: the study searches lr"),
    ],
)
def test_bad_input_is_named(argument: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=f"(?s){problem}"):
        trainings(argument)


@pytest.mark.parametrize(
    "given, problem",
    [
        (("data.root=x", "lr=0.1"), "lr=0.1: the study searches lr"),
        (("data.root=x", "runs_root=y"), "the study sets runs_root itself"),
        (("data.root=x", "resume=never"), "the study sets resume itself"),
        (("data.root=x", "processes=2"), "the study sets processes itself"),
        (("data.root=x", "tracking.register_as=signs"), "the study sets tracking.register_as itself"),
        (("data.root=x", "epoch=3"), "epoch: unknown key"),
    ],
)
def test_settings_of_the_training_that_contradict_the_study_are_refused(given: tuple[str, ...], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        trainings(given=given)


def test_the_command_line_takes_keys_of_the_study_and_of_its_trainings() -> None:
    of_study, of_training = ["trials=3", "study.name=x", "--dry-run", "--config", "a.yaml"], ["epochs=3", "data.root=x"]
    assert own_and_trainings([*of_training, *of_study], Tune) == (of_study, of_training)
