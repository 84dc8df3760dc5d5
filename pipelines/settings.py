"""YAML + key=value overrides → frozen typed settings."""

import argparse
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

from omegaconf import DictConfig, OmegaConf
from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer, PlainValidator, ValidationError

from pipelines.added_later import AddedLater, decisive_values
from pipelines.argument_forms import refuse_other_forms
from pipelines.commands import as_typed
from pipelines.declared import Types
from pipelines.described_keys import describe_keys
from pipelines.errors import SettingsError
from pipelines.layers import (
    UNREADABLE,
    each_text,
    escaped,
    menu_folders,
    plain_yaml,
    read_menu,
    read_override,
    read_yaml,
    reason,
    replacing,
)
from pipelines.local_paths import expand_home, read_path
from pipelines.places import Place, read_place
from pipelines.problems import describe_problems, expected, key_of

__all__ = [
    "AddedLater", "LocalPath", "PathOrName", "Settings", "StorePath", "build_member", "choose", "decisive_values",
    "describe", "expected", "load", "parse_arguments", "plain_yaml", "to_yaml",
]  # fmt: skip

LocalPath = Annotated[Path, PlainValidator(read_path)]
"""A local path: a leading ~ is the home folder, file:///path is /path, other schemes are refused."""
StorePath = Annotated[Place, PlainValidator(read_place), PlainSerializer(str, return_type=str)]
"""A path as LocalPath, or the URL of a folder in an object store: s3://bucket/folder."""
PathOrName = Annotated[str, AfterValidator(expand_home)]
"""A path, in which a leading ~ is the home folder, or a URL, or another name."""


class Settings(BaseModel):
    """A frozen, typed object; an unknown key or a value of another type is an error that names the key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


SettingsT = TypeVar("SettingsT", bound=Settings)


class Member(Protocol):
    """Settings that a menu selects by their kind."""

    @property
    def kind(self) -> str: ...

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


def load(
    settings_type: type[SettingsT], config: Path, overrides: Sequence[str] = (), defaults: Path | None = None
) -> SettingsT:
    """The file `defaults` (the config if it is not given), updated with the recipes of the chosen menu files, the file
    `config` and `overrides` ("a.b=value"), in this order.

    If the key is declared as text or as a path, everything after the first = is its value, literally; only `null` is
    None if the key can be None. For other keys the value is YAML. An empty value is null everywhere.

    A key whose value names a file in the folder of that key beside `defaults` is replaced by that file: `noise: paper`
    reads noise/paper.yaml, `noise: [paper, proposal]` merges both in that order. The file may contain a `recipe`, which
    changes the defaults of other keys. A key that is plain text in `settings_type` has no menu, even if another job's
    key of that name has one. Overrides of keys inside menus are applied to these files, and those of other keys to
    both. A mapping ("a={b: 1}") replaces the whole mapping; files update nested settings key by key, and replace other
    mappings and members of menus. ${a.b} is the value of that key, after the overrides; \\${ is a literal ${. Raises
    SettingsError, naming the file and the key."""
    types: Types = (settings_type,)
    label = f"{config} with {list(overrides) or 'no overrides'}"
    defaults = defaults or config
    folders = menu_folders(defaults.parent, types)
    read = [layer for override in overrides for layer in read_override(override, types)]
    inside = [layer for key, layer in read if key not in folders and key.split(".")[0] in folders]
    outside = [layer for key, layer in read if key.split(".")[0] not in folders]
    base: Any = read_yaml(defaults)
    try:
        own = [] if config.resolve() == defaults.resolve() else replacing(read_yaml(config), types)
        own += [layer for key, layer in read if key in folders]
        choices = {menu: read_menu(folders, menu, names, types) for menu, names in _given(base, own, folders)}
        recipes = {path: recipe for choice in choices.values() for path, recipe in choice.recipes.items()}
        label = f"{', '.join(map(str, [config, *recipes]))} with {list(overrides) or 'no overrides'}"
        changes = [layer for recipe in recipes.values() for layer in replacing(recipe, types)]
        values: Any = OmegaConf.merge(base, *changes, *own)
        for menu, choice in choices.items():
            if not isinstance(values[menu], DictConfig):  # otherwise a recipe contains it
                values[menu] = choice.values
        values = OmegaConf.merge(values, *inside, *outside)
        if missing := sorted(OmegaConf.missing_keys(values)):
            raise SettingsError("\n".join([f"{label}:", *(f"  {key}: missing; give {key}=…" for key in missing)]))
        resolved = json.dumps(OmegaConf.to_container(values, resolve=True))
        return settings_type.model_validate_json(resolved)  # JSON: a list may become a tuple, a string a path
    except ValidationError as error:
        problems = [f"  {problem}" for problem in describe_problems(error.errors(), types)]
        raise SettingsError("\n".join([f"{label}:", *problems])) from None
    except UNREADABLE as error:
        raise SettingsError(f"{label}: {reason(error)}") from None


def parse_arguments(
    settings_type: type[SettingsT], default_config: Path, description: str, arguments: Sequence[str]
) -> tuple[SettingsT, bool]:
    """(settings, dry_run) from the three arguments that every job takes: [--config FILE] [--dry-run] [key=value …]."""
    asked = {"-h", "--help"} & set(arguments)
    parser = argparse.ArgumentParser(
        prog=as_typed(f"python jobs/{default_config.stem}.py"),
        description=as_typed(description),
        epilog=describe_keys(settings_type, default_config) if asked else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    config_help = f"updates {default_config}"
    parser.add_argument("--config", type=Path, default=default_config, metavar="FILE", help=config_help)
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="laid over the config, e.g. seed=7")
    parsed, unknown = parser.parse_known_intermixed_args(arguments)
    for wrong in [*unknown, *(one for one in parsed.overrides if "=" not in one or one[:1] == "=")]:
        refuse_other_forms(arguments, wrong)
    return load(settings_type, parsed.config, parsed.overrides, default_config), parsed.dry_run


def to_yaml(settings: Settings, without: Collection[str] = ()) -> str:
    """The resolved settings as YAML, from which `load` makes the same settings again; the keys `without` are left to
    its defaults."""
    values = settings.model_dump(mode="json", exclude=set(without))
    return OmegaConf.to_yaml(OmegaConf.create(each_text(values, escaped)))


def choose(menu: Mapping[str, type[SettingsT]], given: object) -> SettingsT:
    """The member of a menu that `given` names: its kind alone, or {"kind": …} with its settings. Raises ValueError."""
    values = {"kind": given} if isinstance(given, str) else given
    kind = values.get("kind") if isinstance(values, dict) else None
    if not isinstance(values, dict) or not isinstance(kind, str) or kind not in menu:
        raise ValueError(f"expected one of {', '.join(menu)}")
    return build_member(
        menu[kind], {key: value for key, value in values.items() if key != "kind" and value is not None}
    )


def build_member(member: type[SettingsT], settings: Mapping[str, Any], within: str = "") -> SettingsT:
    """The member with these settings. Raises ValueError, which names the key, prefixed by `within`."""
    try:
        return member.model_validate_json(json.dumps(settings))
    except ValidationError as error:
        problems = (f"{within}{key_of(problem)}: {expected(problem, member)}" for problem in error.errors())
        raise ValueError("; ".join(problems)) from None


def describe(member: Member) -> dict[str, Any]:
    """A member of a menu as data: its kind and its settings."""
    return {"kind": member.kind, **member.model_dump(mode="json")}


def _given(base: DictConfig, own: Sequence[DictConfig], folders: Mapping[str, Path]) -> list[tuple[str, Any]]:
    """The keys of menus that have a value, and the value."""
    given: Any = OmegaConf.merge(base, *own)
    return [(str(key), given[key]) for key in given if key in folders and not OmegaConf.is_missing(given, key)]
