"""YAML + key=value overrides → frozen typed settings. The only reader of YAML."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from yaml import YAMLError

from pipelines.errors import SettingsError

__all__ = ["Settings", "build_member", "choose", "describe", "load", "parse_arguments", "to_yaml"]


class Settings(BaseModel):
    """A frozen, typed object; an unknown key or a value of another type is an error that names the key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


SettingsT = TypeVar("SettingsT", bound=Settings)


class Member(Protocol):
    """Settings that a menu names by their kind."""

    @property
    def kind(self) -> str: ...

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


def load(
    settings_type: type[SettingsT], config: Path, overrides: Sequence[str] = (), menus: Path | None = None
) -> SettingsT:
    """The settings in `config`, with `overrides` ("a.b=value", YAML values) laid over them.

    A key whose value names a file of the folder of that key in `menus` (by default the config's own folder) is replaced
    by that file: `noise: paper` reads noise/paper.yaml, `noise: [paper, proposal]` merges both in that order. A key
    that is plain text to `settings_type` has no menu, even where another job's key of that name has one. Overrides
    of keys inside it come last; a mapping ("a={b: 1}") takes the place of the whole one. Raises SettingsError, naming
    the file and the key.
    """
    menus = config.parent if menus is None else menus
    folders = _menu_folders(menus, settings_type)
    choices, others = _split_overrides(overrides, folders)
    try:
        merged = _read_yaml(config)
        for key in [str(key) for key in merged]:
            if key in folders:
                merged[key] = _read_menu(folders[key], choices.get(key, merged[key]))
        chosen = OmegaConf.merge(merged, others)
        for key in _mappings(overrides) - choices.keys():
            OmegaConf.update(chosen, key, OmegaConf.select(others, key), merge=False)
        values = OmegaConf.to_container(chosen, resolve=True, throw_on_missing=True)
        return settings_type.model_validate_json(json.dumps(values))  # JSON: a list may become a tuple, a string a path
    except ValidationError as error:
        problems = "\n".join(f"  {_describe(problem, settings_type)}" for problem in error.errors())
        raise SettingsError(f"{config} with {list(overrides) or 'no overrides'}:\n{problems}") from None
    except (OmegaConfBaseException, TypeError, ValueError) as error:
        raise SettingsError(f"{config} with {list(overrides) or 'no overrides'}: {error}") from None


def parse_arguments(
    settings_type: type[SettingsT], default_config: Path, description: str, arguments: Sequence[str]
) -> tuple[SettingsT, bool]:
    """(settings, dry_run) from the three arguments that every job takes: [--config FILE] [--dry-run] [key=value …]."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=default_config, metavar="FILE", help=f"default {default_config}")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="laid over the config, e.g. seed=7")
    parsed = parser.parse_intermixed_args(arguments)
    return load(settings_type, parsed.config, parsed.overrides, default_config.parent), parsed.dry_run


def to_yaml(settings: Settings) -> str:
    """The resolved settings as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(settings.model_dump(mode="json")))


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
    """The member with these settings. Raises ValueError, which names the key, from `within` on."""
    try:
        return member.model_validate_json(json.dumps(settings))
    except ValidationError as error:
        known = ", ".join(name for name in member.model_fields if name != "kind")
        raise ValueError(
            "; ".join(
                f"{within}{'.'.join(map(str, problem['loc']))}: "
                + (f"unknown key; there are: {known}" if problem["type"] == "extra_forbidden" else problem["msg"])
                for problem in error.errors()
            )
        ) from None


def describe(member: Member) -> dict[str, Any]:
    """A menu's member as data: its kind and its settings."""
    return {"kind": member.kind, **member.model_dump(mode="json")}


def _read_yaml(path: Path) -> DictConfig:
    try:
        values = OmegaConf.load(path)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; --config takes a YAML file such as those in conf/") from None
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path}: not readable as YAML: {error}") from None
    if not isinstance(values, DictConfig):
        raise SettingsError(f"{path}: holds a list, expected key: value lines")
    return values


def _menu_folders(menus: Path, settings_type: type[Settings]) -> dict[str, Path]:
    """By key."""
    plain = {name for name, field in settings_type.model_fields.items() if field.annotation is str}
    folders = (folder for folder in menus.iterdir() if folder.is_dir()) if menus.is_dir() else iter(())
    return {folder.name: folder for folder in folders if folder.name not in plain}


def _read_menu(folder: Path, names: Any) -> Any:
    """The files of a menu that `names` stands for, merged; `names` itself where it is no name."""
    chosen = [names] if isinstance(names, str) else names
    if not isinstance(chosen, list | ListConfig):
        return names
    menu = sorted(path.stem for path in folder.glob("*.yaml"))
    for name in chosen:
        if name not in menu:
            raise SettingsError(f"{folder.name}={name}: not in {folder}; there are: {', '.join(menu)}")
    return OmegaConf.merge(*(_read_yaml(folder / f"{name}.yaml") for name in chosen))


def _split_overrides(overrides: Sequence[str], folders: Mapping[str, Path]) -> tuple[dict[str, Any], DictConfig]:
    """Which menus' files are chosen (`noise=[paper,proposal]`), and all other overrides."""
    choices: dict[str, Any] = {}
    others: list[str] = []
    try:
        for override in overrides:
            key, equals, value = override.partition("=")
            if not key or not equals or value.strip() == "???":
                raise SettingsError(f"{override!r}: expected key=value, e.g. seed=7")
            if key in folders:
                choices[key] = OmegaConf.from_dotlist([override])[key]
            else:
                others.append(override)
        return choices, OmegaConf.from_dotlist(others)
    except (YAMLError, OmegaConfBaseException, TypeError, ValueError) as error:
        raise SettingsError(f"{list(overrides)}: {error}") from None


def _mappings(overrides: Sequence[str]) -> set[str]:
    """The keys to which whole mappings are given."""
    return {key for key, _, value in (override.partition("=") for override in overrides) if value.startswith("{")}


def _describe(problem: ErrorDetails, settings_type: type[Settings]) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = f"; there are: {', '.join(settings_type.model_fields)}" if len(problem["loc"]) == 1 else ""
        return f"{key}: unknown key{known}"
    if problem["type"] == "missing":
        return f"{key}: missing"
    message = problem["msg"].removeprefix("Value error, ")
    given = "" if isinstance(problem["input"], dict) else f", got {problem['input']!r}"
    return (f"{key}: " if key else "") + message + given
