"""The settings of all jobs: what is text in one member of a menu is text in all, and every path is a local one."""

import importlib
import pkgutil
from collections.abc import Iterator
from inspect import isabstract
from pathlib import Path
from types import NoneType
from typing import Any

import pytest
from upath import UPath

import pipelines
import training
from pipelines.declared import Types, is_text, keys_of, types_at, types_of
from pipelines.settings import Settings, load
from training.classifiers.settings import TrainClassifier
from training.evaluation.gans.evaluation import GanEvaluation
from training.executors.adversarial_datasets import AdversarialDatasets
from training.gans.settings import TrainGan
from training.retraining.settings import Retrain

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(scope="module", autouse=True)
def everything() -> None:
    for package in (pipelines, training):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)


def all_settings(base: type[Settings] = Settings) -> Iterator[type[Settings]]:
    for one in base.__subclasses__():
        if one.__module__.startswith(("pipelines.", "training.")):
            yield one
            yield from all_settings(one)


def mixed(types: Types) -> list[str]:
    """Keys of a menu that are text in only some of its members."""
    own = [type_ for type_ in types if isinstance(type_, type) and issubclass(type_, Settings)]
    found = {key: {is_text(types_at((one,), key)) for one in own if key in one.model_fields} for key in keys_of(types)}
    return [key for key, kinds in found.items() if len(kinds) > 1]


def test_no_key_of_a_menu_is_text_in_one_member_and_silently_not_in_another() -> None:
    fields = [(one, key, field) for one in all_settings() for key, field in one.model_fields.items()]
    assert len(fields) > 200
    assert [(one, key) for one, key, field in fields if mixed(types_of(field.annotation))] == []


def test_all_paths_in_settings_are_local_ones_or_may_be_in_an_object_store() -> None:
    """So that ~ and schemes mean the same everywhere."""
    paths, anywhere = 0, set()
    for one in all_settings():
        for key, field in one.model_fields.items():
            if Path in types_of(field.annotation) and not isabstract(one):
                paths += 1
                refusal = "s3: is not supported yet"
                if UPath in types_of(field.annotation):
                    anywhere.add(f"{one.__name__}.{key}")
                    refusal = "names no folder inside the bucket"
                with pytest.raises(ValueError, match=refusal):
                    one.__pydantic_validator__.validate_assignment(one.model_construct(), key, "s3://x")
    assert paths >= 14
    assert anywhere == {
        "NoisyDatasets.output_root", "AttackedData.root", "SourceData.root", "Gtsrb.root", "ImageFolder.root",
        "TrainClassifier.runs_root", "TrainGan.runs_root", "TrainRobust.runs_root", "TrainingRun.runs_root",
        "ShownImages.output_root", "Evaluation.output_root", "RobustnessReport.output_root",
        "GanEvaluation.output_root", "CertifyClassifier.output_root", "Stability.output_root", "ScoreImages.images",
        "ScoreImages.output",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings_type", "config", "override", "get", "expected"),
    [
        (TrainClassifier, "train_classifier", "tracking.experiment=2024", lambda one: one.tracking.experiment, "2024"),
        (TrainClassifier, "train_classifier", "data.root=s3://b/x #2", lambda one: one.data.root, "s3://b/x #2"),
        (TrainClassifier, "train_classifier", "resume=~/1E5", lambda one: one.resume, "/h/1E5"),
        (Retrain, "retrain", "dataset.root=~/x #2", lambda one: one.for_datasets(40, "b")[1], "dataset.root=/h/x #2"),
        (Retrain, "retrain", "dataset.root=null", lambda one: one.for_datasets(40, "b")[0], "dataset.kind=auto"),
        (
            Retrain,
            "retrain",
            "webhook={url: 'http://x', secret_file: ~/s}",
            lambda one: str(one.webhook.secret_file),
            "/h/s",
        ),
        (GanEvaluation, "evaluate_gans", "inception=~/0x10", lambda one: str(one.inception), "/h/0x10"),
        (GanEvaluation, "evaluate_gans", "runs=1E5", lambda one: one.runs, ("1E5",)),
        (AdversarialDatasets, "make_adversarial_datasets", "model=[old] #1", lambda one: one.model, "[old] #1"),
    ],
)
def test_text_of_nested_keys_and_menus_is_text(
    settings_type: type[Settings],
    config: str,
    override: str,
    get: Any,
    expected: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/h")
    others = ["data.root=x", "snr_db=[33]"] if settings_type is AdversarialDatasets else []
    others = ["data.root=x"] if settings_type is GanEvaluation else others
    assert get(load(settings_type, CONF / f"{config}.yaml", [*others, override])) == expected


@pytest.mark.parametrize(
    ("settings_type", "key"),
    [(TrainGan, "gan.latent.level"), (TrainGan, "gan.classifier"), (AdversarialDatasets, "attack.generator")],
)
def test_text_of_a_member_is_text_before_the_member_is_chosen(settings_type: type[Settings], key: str) -> None:
    types: Types = (settings_type,)
    for part in key.split("."):
        types = types_at(types, part)
    assert is_text(types) and NoneType in types
