import json
from pathlib import Path

import pytest

from pipelines.errors import SettingsError
from pipelines.settings import load
from training.classifiers.settings import TrainClassifier
from training.models.baseline_cnn import BaselineCnn


@pytest.fixture(scope="module")
def config(repository: Path) -> Path:
    return repository / "conf" / "train_classifier.yaml"


def test_every_file_of_the_model_menu_is_a_whole_recipe(config: Path) -> None:
    for path in sorted((config.parent / "model").glob("*.yaml")):
        settings = load(TrainClassifier, config, [f"model={path.stem}"])
        assert (settings.tracking.name or settings.model.kind) == path.stem, "the name of its runs"
        assert settings.epochs >= 1


def test_the_papers_recipe_is_the_papers(config: Path) -> None:
    settings = load(TrainClassifier, config, ["model=baseline_cnn_paper"])
    assert isinstance(settings.model, BaselineCnn)
    assert (settings.lr, settings.epochs, settings.schedule, settings.weight_decay) == (0.01, 10, "constant", 0.0)
    assert settings.batch_size == 128


def test_the_command_line_takes_precedence_over_the_recipe(config: Path) -> None:
    settings = load(
        TrainClassifier, config, ["lr=0.5", "epochs=3", "augmentation.rotation_deg=1.5", "model.dropout=0.1"]
    )
    assert (settings.lr, settings.epochs, settings.augmentation.rotation_deg) == (0.5, 3, 1.5)
    assert settings.augmentation.contrast == load(TrainClassifier, config).augmentation.contrast
    assert isinstance(settings.model, BaselineCnn)
    assert settings.model.dropout == 0.1
    assert load(TrainClassifier, config, ["data.mixture={gaussian-max: 1.0}"]).data.mixture == {"gaussian-max": 1.0}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "model=resnet500",
            "model=resnet500: not in .*; there are: aol_cnn, baseline_cnn, baseline_cnn_mixture, baseline_cnn_paper",
        ),
        ("model.kind=resnet500", "model: expected one of aol_cnn, baseline_cnn"),
        ("model.drop=0.1", "model: drop: unknown key; there are: .*dropout"),
        ("data.mixture={clean: 0.4}", "data.mixture: weights must sum to 1, these sum to 0.4"),
        ("data.mixture={clean: .nan}", "data.mixture.*finite"),
        ("lr=.inf", "lr: .*finite"),
        ("epoch=3", "epoch: unknown key; there are: .*epochs"),
        ("processes=2", "processes: needs launcher=spark"),
    ],
)
def test_bad_settings_are_named(config: Path, override: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(TrainClassifier, config, [override])


def test_settings_survive_pickling(config: Path) -> None:
    settings = load(TrainClassifier, config, ["model.dropout=0.1", "seed=7"])
    assert TrainClassifier.model_validate_json(settings.model_dump_json()) == settings
    json.dumps(settings.model_dump(mode="json"))


def test_the_fingerprint_depends_only_on_what_affects_the_weights(config: Path) -> None:
    digests = {"clean": "d1"}
    one = load(TrainClassifier, config).fingerprint(digests, 1)
    for same in ("runs_root=x", "device=cpu", "data.root=elsewhere", "data.workers=1", "resume=auto"):
        assert load(TrainClassifier, config, [same]).fingerprint(digests, 1) == one, same
    for other in (
        "seed=1",
        "lr=0.5",
        "cache=none",
        "model.dropout=0.11",
        "augmentation.contrast=0.1",
        "data.size_px=28",
    ):
        assert load(TrainClassifier, config, [other]).fingerprint(digests, 1) != one, other
    assert load(TrainClassifier, config).fingerprint({"clean": "d2"}, 1) != one
    assert load(TrainClassifier, config).fingerprint(digests, 2) != one
