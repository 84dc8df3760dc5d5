"""The plans of benchmarks/train_many.py: every training has settings that load."""

from pathlib import Path

import pytest
import yaml

from pipelines.settings import load
from training.classifiers.settings import TrainClassifier

REPOSITORY = Path(__file__).parents[1]
CONFIG = REPOSITORY / "conf" / "train_classifier.yaml"
PLANS = sorted((REPOSITORY / "benchmarks" / "plans").glob("*.yaml"))
SPLITS = {"train", "validation", "test"}


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_a_plan_names_trainings_that_can_be_configured(path: Path) -> None:
    loaded = set[tuple[str, ...]]()
    for planned in yaml.safe_load(path.read_text()):
        for training in planned["trainings"]:
            settings = tuple(training.get("settings", []))
            assert training["name"]
            assert set(training.get("train", ["train"])) <= {"train", "validation"}, training["name"]
            assert set(training.get("evaluate", planned.get("evaluate", []))) <= SPLITS, training["name"]
            if settings not in loaded:
                load(TrainClassifier, CONFIG, [*settings, "data.root=images"])
            loaded.add(settings)
