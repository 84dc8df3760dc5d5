"""Recipes: a menu file changes defaults of other keys, which later settings override."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from pipelines.errors import SettingsError
from pipelines.settings import Settings, load, parse_arguments, to_yaml


class Change(Settings):
    turn: float
    zoom: float


class Run(Settings):
    model: dict[str, Any]
    other: dict[str, Any] = Field(default_factory=dict)
    epochs: int
    lr: float
    shares: Mapping[str, float]
    change: Change


DEFAULTS = """\
model: small
epochs: 40
lr: 0.003
shares: {clean: 1.0}
change: {turn: 10.0, zoom: 0.3}
"""
SMALL = "kind: small\nwidth: 1\n"
LARGE = "kind: large\nrecipe:\n  epochs: 90\n  lr: 0.1\n  shares: {noisy: 1.0}\n  change: {zoom: 0.5}\n"
LONG = "deep: true\nrecipe: {epochs: 200}\n"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    for name, text in (("small", SMALL), ("large", LARGE), ("long", LONG)):
        (tmp_path / "model" / f"{name}.yaml").write_text(text)
    (tmp_path / "run.yaml").write_text(DEFAULTS)
    return tmp_path


def read(conf: Path, *arguments: str, own: str | None = None) -> Run:
    given = list(arguments)
    if own is not None:
        (conf / "elsewhere").mkdir(exist_ok=True)
        (conf / "elsewhere" / "own.yaml").write_text(own)
        given += ["--config", str(conf / "elsewhere" / "own.yaml")]
    return parse_arguments(Run, conf / "run.yaml", "", given)[0]


def test_without_a_recipe_the_defaults_apply(conf: Path) -> None:
    assert read(conf) == Run(
        model={"kind": "small", "width": 1}, epochs=40, lr=0.003, shares={"clean": 1.0},
        change=Change(turn=10.0, zoom=0.3),
    )  # fmt: skip


def test_a_recipe_is_laid_over_the_defaults_key_by_key_and_in_place_of_mappings(conf: Path) -> None:
    assert read(conf, "model=large") == Run(
        model={"kind": "large"}, epochs=90, lr=0.1, shares={"noisy": 1.0}, change=Change(turn=10.0, zoom=0.5)
    )


@pytest.mark.parametrize(
    ("own", "typed", "epochs", "lr", "turn", "zoom"),
    [
        (None, [], 90, 0.1, 10.0, 0.5),
        ("lr: 0.2\n", [], 90, 0.2, 10.0, 0.5),
        ("lr: 0.2\nchange: {turn: 1.0}\n", [], 90, 0.2, 1.0, 0.5),
        ("lr: 0.2\nchange: {turn: 1.0}\n", ["lr=0.4", "change.zoom=0"], 90, 0.4, 1.0, 0.0),
        ("model: small\nepochs: 3\n", [], 3, 0.1, 10.0, 0.5),
    ],
)
def test_precedence_is_defaults_recipe_config_command_line(
    conf: Path, own: str | None, typed: list[str], epochs: int, lr: float, turn: float, zoom: float
) -> None:
    found = read(conf, "model=large", *typed, own=own)
    assert (found.epochs, found.lr, found.change) == (epochs, lr, Change(turn=turn, zoom=zoom))
    assert found.shares == {"noisy": 1.0}


def test_the_recipe_is_that_of_the_finally_chosen_file(conf: Path) -> None:
    assert read(conf, own="model: large\n").epochs == 90
    assert read(conf, "model=small", own="model: large\n").epochs == 40
    assert read(conf, own="model: {kind: mine}\n").model == {"kind": "mine"}
    assert read(conf, own="model: {kind: mine}\n").epochs == 40


def test_recipes_of_several_files_are_laid_over_one_another_in_their_order(conf: Path) -> None:
    found = read(conf, "model=[large,long]")
    assert (found.model, found.epochs, found.lr) == ({"kind": "large", "deep": True}, 200, 0.1)
    assert read(conf, "model=[long,large]").epochs == 90


def test_a_mapping_in_a_config_replaces_the_earlier_mapping(conf: Path) -> None:
    assert read(conf, "model=large", own="shares: {other: 1.0}\n").shares == {"other": 1.0}


def test_the_output_of_a_dry_run_works_as_a_config(conf: Path) -> None:
    for typed in (["model=large"], ["model=[large,long]", "shares={}"], ["change.zoom=0.25"]):
        settings = read(conf, *typed)
        assert read(conf, own=to_yaml(settings)) == settings


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("{epoch: 1}", r"large.yaml: recipe.epoch: unknown key; there are: model, other, epochs, lr, shares, change$"),
        ("{change: {trun: 1}}", r"large.yaml: recipe.change.trun: unknown key; there are: turn, zoom$"),
        ("[1]", r"large.yaml: recipe: expected key: value lines"),
        ("null", r"large.yaml: recipe: expected key: value lines"),
        ("{model: small}", r"large.yaml: recipe.model: is what the file itself is a choice of"),
        ("{other: thing}", r"large.yaml: recipe.other: cannot be a name; write other: {kind: thing}"),
        (
            "{epochs: many}",
            r"run.yaml, .*large.yaml with \['model=large'\]:\n  epochs: must be a whole number, got 'many'",
        ),
    ],
)
def test_a_bad_recipe_is_named_with_its_file_and_key(conf: Path, recipe: str, told: str) -> None:
    (conf / "other").mkdir()
    (conf / "model" / "large.yaml").write_text(f"kind: large\nrecipe: {recipe}\n")
    with pytest.raises(SettingsError, match=told):
        read(conf, "model=large")


def test_a_recipe_can_give_another_menus_member_which_a_config_replaces(conf: Path) -> None:
    (conf / "other").mkdir()
    (conf / "other" / "plain.yaml").write_text("kind: plain\nsize: 1\n")
    (conf / "run.yaml").write_text(DEFAULTS + "other: plain\n")
    (conf / "model" / "large.yaml").write_text("kind: large\nrecipe: {other: {kind: thing}}\n")
    assert read(conf).other == {"kind": "plain", "size": 1}
    assert read(conf, "model=large").other == {"kind": "thing"}
    assert read(conf, "model=large", "other=plain").other == {"kind": "plain", "size": 1}


def test_an_unknown_key_of_a_config_is_refused_with_its_name(conf: Path) -> None:
    with pytest.raises(SettingsError, match=r"own.yaml with no overrides:\n  epoch: unknown key"):
        read(conf, own="epoch: 3\n")


def test_recipes_in_the_menus_do_not_repeat_defaults(repository: Path) -> None:
    """So that a default can be changed in one place."""
    import yaml

    for job, menu in (("train_classifier", "model"), ("train_gan", "gan")):
        defaults = yaml.safe_load((repository / "conf" / f"{job}.yaml").read_text())
        for path in (repository / "conf" / menu).glob("*.yaml"):
            recipe = yaml.safe_load(path.read_text()).get("recipe", {})
            assert not _same(recipe, defaults), path


def _same(recipe: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    """Keys of settings, and keys inside them."""
    found = [key for key, value in recipe.items() if value == defaults[key]]
    inner = [key for key, value in recipe.items() if isinstance(value, dict) and isinstance(defaults[key], dict)]
    inner = [key for key in inner if key != "mixture"]
    return found + [one for key in inner for one in _same(recipe[key], defaults[key])]


def test_loading_without_defaults_is_loading_the_config_alone(conf: Path) -> None:
    (conf / "run.yaml").write_text(DEFAULTS.replace("lr: 0.003\n", ""))
    with pytest.raises(SettingsError, match="lr: missing"):
        load(Run, conf / "run.yaml")
