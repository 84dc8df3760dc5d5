"""Splits whose groups the publisher does not say: estimated from the validation images, or recovered."""

from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from attacked_predictions import write_attacked
from rich.console import Console
from small_attacks import classifier
from small_datasets import CARD, Tracks

from pipelines.errors import StoreError
from pipelines.store.recovered_groups import RecoveredGroups
from training.classifiers.trained import Classifier
from training.evaluation.robustness.evaluation import EvaluatedData, EvaluatedModel, Evaluation, Result, evaluate

QUIET = Console(quiet=True)
UNKNOWN = CARD.model_copy(update={"unknown_groups": ("test",)})
SMALL = Tracks({"test": [[30]], "validation": [[45]]}, ("clean", "gaussian-max"), size_px=8, card=UNKNOWN)


def evaluated(
    root: Path, models: dict[str, Classifier] | None = None, console: Console = QUIET, **settings: Any
) -> Result:
    found = {name: EvaluatedModel(one, None) for name, one in (models or {"cnn": classifier()}).items()}
    given = Evaluation(models=tuple(found), data=EvaluatedData(root=str(root)), **settings)
    return evaluate(given, found, torch.device("cpu"), console)


def accuracies(result: Result) -> dict[str, dict[str, Any]]:
    return {row["noise"]: row for row in result.table.to_pylist() if row["metric"] == "accuracy"}


def recovered(path: Path, of: int = 10) -> Path:
    rows = [(f"test/{number:05d}", number % 43, f"recovered/{number // of}") for number in range(30)]
    RecoveredGroups.of(rows, "small", "0", None, "made by hand", {}).write(path)
    return path


def test_the_design_effect_of_the_validation_images_is_used(tmp_path: Path) -> None:
    root = SMALL.write(tmp_path)
    test, validation = (accuracies(evaluated(root, split=split)) for split in ("test", "validation"))
    for noise in ("none", "gaussian"):
        assert (validation[noise]["unit"], validation[noise]["groups"]) == ("group", 15)
        assert (test[noise]["unit"], test[noise]["groups"], test[noise]["images"]) == ("estimated", None, 30)
        assert test[noise]["design_effect"] == validation[noise]["design_effect"]


def test_without_validation_images_the_unit_is_unknown(tmp_path: Path) -> None:
    root = SMALL.write(tmp_path)
    write_attacked(SMALL, root, "fgsm-snr33", classifier().digest, {"snr_db": 33.0})
    found = accuracies(evaluated(root))
    assert (found["fgsm"]["unit"], found["fgsm"]["design_effect"]) == ("unknown", None)
    assert found["none"]["unit"] == "estimated"


def test_validation_images_that_a_network_was_trained_on_say_nothing_of_other_images(tmp_path: Path) -> None:
    """Neither are they taken for the design effect, nor are accuracies on them given without a flag."""
    root = SMALL.write(tmp_path)
    knows = replace(classifier(), about={"settings": {"train_on": ["train", "validation"]}})
    models = {"knows": knows, "cnn": classifier()}
    result = evaluated(root, models)
    units = {
        (row["model"], row["noise"]): row["unit"] for row in result.table.to_pylist() if row["metric"] == "accuracy"
    }
    assert units["cnn", "none"] == "estimated" and units["knows", "none"] == "unknown"
    assert not result.flags
    (flag,) = evaluated(root, models, split="validation").flags
    assert flag.startswith("knows: was trained on the validation images")


def test_recovered_groups_are_used_where_they_are_unknown_and_named(tmp_path: Path) -> None:
    root, file = SMALL.write(tmp_path / "signs"), recovered(tmp_path / "groups.parquet")
    result = evaluated(root, groups="recovered", groups_file=file)
    for row in accuracies(result).values():
        assert (row["unit"], row["groups"]) == ("recovered group", 3)
    assert (
        accuracies(evaluated(root, split="validation", groups="recovered", groups_file=file))["none"]["unit"] == "group"
    )
    keys = {result.key, evaluated(root).key}
    keys.add(evaluated(root, groups="recovered", groups_file=recovered(tmp_path / "other.parquet", 5)).key)
    assert len(keys) == 3


def test_recovered_groups_of_other_images_are_refused(tmp_path: Path) -> None:
    root = replace(SMALL, parts={"test": [[31]]}).write(tmp_path / "signs")
    with pytest.raises(StoreError, match=r"image test/00030 has no recovered group"):
        evaluated(root, groups="recovered", groups_file=recovered(tmp_path / "groups.parquet"))
    with pytest.raises(StoreError, match=r"does not exist; make it with jobs/recover_tracks.py"):
        evaluated(root, groups="recovered", groups_file=tmp_path / "none.parquet")


def test_models_that_differ_in_their_seeds_alone_are_one_recipe(tmp_path: Path) -> None:
    root = SMALL.write(tmp_path)
    models = {
        name: replace(classifier(seed), about={"datasets": data, "settings": settings | {"seed": seed, "lr": lr}})
        for name, seed, lr, data, settings in (
            ("a", 0, 0.1, {"clean": "1"}, {"runs_root": "a", "checkpoint_every_steps": 0, "data": {"root": "here"}}),
            ("b", 1, 0.1, {"clean": "1"}, {"runs_root": "b", "checkpoint_every_steps": 9, "data": {"root": "there"}}),
            ("c", 0, 0.2, {"clean": "1"}, {"runs_root": "a"}),
            ("d", 2, 0.1, {"clean": "1"}, {"runs_root": "a"}),
            ("e", 3, 0.1, {"clean": "2"}, {"runs_root": "a"}),
        )
    }
    result = evaluated(root, models, split="validation")
    rows = result.recipes.to_pylist()
    assert [(row["models"], row["noise"], row["seeds"]) for row in rows] == [
        ("a, b, d", "none", 3),
        ("a, b, d", "gaussian", 3),
    ]
    one_by_one = [row for row in result.table.to_pylist() if row["metric"] == "accuracy" and row["noise"] == "none"]
    values = [row["value"] for row in one_by_one if row["model"] in "abd"]
    assert rows[0]["accuracy"] == pytest.approx(sum(values) / 3)
    assert rows[0]["low"] <= rows[0]["accuracy"] <= rows[0]["high"]
    assert (rows[0]["unit"], rows[0]["groups"], rows[0]["images"]) == ("group", 15, 45)
    assert not evaluated(root, {"a": models["a"]}).recipes


def test_recovered_groups_that_are_not_needed_are_not_ignored_silently(tmp_path: Path) -> None:
    root, file = SMALL.write(tmp_path / "signs"), recovered(tmp_path / "groups.parquet")
    for split, said in (("validation", True), ("test", False)):
        console = Console(file=StringIO(), width=200)
        evaluated(root, console=console, split=split, groups="recovered", groups_file=file)
        assert isinstance(console.file, StringIO)
        assert ("groups=recovered: not used" in console.file.getvalue()) == said
