"""YAML + key=value overrides → frozen typed settings. The only reader of YAML."""

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Protocol, TypeVar

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator, ValidationError
from pydantic_core import ErrorDetails
from yaml import YAMLError

from pipelines.added_later import AddedLater, decisive_values
from pipelines.declared import Types, is_text, keys_of, types_at
from pipelines.errors import SettingsError
from pipelines.local_paths import expand_home, read_path

__all__ = [
    "AddedLater", "LocalPath", "PathOrName", "Settings", "build_member", "choose", "decisive_values", "describe", "load",
    "parse_arguments", "to_yaml",
]  # fmt: skip

LocalPath = Annotated[Path, PlainValidator(read_path)]
"""A local path: a leading ~ is the home folder, file:///path is /path, other schemes are refused."""
PathOrName = Annotated[str, AfterValidator(expand_home)]
"""A path, in which a leading ~ is the home folder, or a URL, or another name."""

_UNREADABLE = (YAMLError, OmegaConfBaseException, ValueError, TypeError, OSError, RecursionError)
_RESOLVER = re.compile(r"(?<!\\)(?:\\\\)*\$\{(?![^${}:]+\})")
"""A ${ that is not escaped by a backslash and not the beginning of ${key}."""


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
    settings_type: type[SettingsT], config: Path, overrides: Sequence[str] = (), menus: Path | None = None
) -> SettingsT:
    """The settings in `config`, updated with `overrides` ("a.b=value") in their order.

    If the key is declared as text or as a path, everything after the first = is its value, literally; only `null` is
    None if the key can be None. For other keys the value is YAML. An empty value is null everywhere.

    A key whose value names a file in the folder of that key in `menus` (by default the config's own folder) is replaced
    by that file: `noise: paper` reads noise/paper.yaml, `noise: [paper, proposal]` merges both in that order. A key
    that is plain text in `settings_type` has no menu, even if another job's key of that name has one. Overrides of keys
    inside menus are applied to these files, and those of other keys to both. A mapping ("a={b: 1}") replaces the whole
    mapping. ${a.b} is the value of that key, after the overrides; \\${ is a literal ${. Raises SettingsError, naming
    the file and the key."""
    types: Types = (settings_type,)
    label = f"{config} with {list(overrides) or 'no overrides'}"
    folders = _menu_folders(config.parent if menus is None else menus, types)
    read = [layer for override in overrides for layer in _read_override(override, types)]
    inside = [layer for key, layer in read if key not in folders and key.split(".")[0] in folders]
    outside = [layer for key, layer in read if key.split(".")[0] not in folders]
    values: Any = _read_yaml(config)
    try:
        values = OmegaConf.merge(values, *(layer for key, layer in read if key in folders))
        for menu in [str(key) for key in values if key in folders and not OmegaConf.is_missing(values, key)]:
            values[menu] = _read_menu(folders[menu], values[menu])
        values = OmegaConf.merge(values, *inside, *outside)
        if missing := sorted(OmegaConf.missing_keys(values)):
            raise SettingsError("\n".join([f"{label}:", *(f"  {key}: missing; give {key}=…" for key in missing)]))
        resolved = json.dumps(OmegaConf.to_container(values, resolve=True))
        return settings_type.model_validate_json(resolved)  # JSON: a list may become a tuple, a string a path
    except ValidationError as error:
        problems = [f"  {_describe(problem, types)}" for problem in error.errors()]
        raise SettingsError("\n".join([f"{label}:", *problems])) from None
    except _UNREADABLE as error:
        raise SettingsError(f"{label}: {_reason(error)}") from None


def parse_arguments(
    settings_type: type[SettingsT], default_config: Path, description: str, arguments: Sequence[str]
) -> tuple[SettingsT, bool]:
    """(settings, dry_run) from the three arguments that every job takes: [--config FILE] [--dry-run] [key=value …]."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=default_config, metavar="FILE", help=f"default {default_config}")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="laid over the config, e.g. seed=7")
    parsed, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        name, _, value = unknown[0].lstrip("-").partition("=")
        parser.error(f"{unknown[0]}: no such option; settings are given without dashes: {name}={value or '…'}")
    return load(settings_type, parsed.config, parsed.overrides, default_config.parent), parsed.dry_run


def to_yaml(settings: Settings) -> str:
    """The resolved settings as YAML, from which `load` makes the same settings again."""
    return OmegaConf.to_yaml(OmegaConf.create(_each_text(settings.model_dump(mode="json"), _escaped)))


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
        known = ", ".join(name for name in member.model_fields if name != "kind")
        raise ValueError(
            "; ".join(
                f"{within}{'.'.join(map(str, problem['loc']))}: "
                + (
                    f"unknown key; there are: {known}"
                    if problem["type"] == "extra_forbidden"
                    else problem["msg"].removeprefix("Value error, ")
                )
                for problem in error.errors()
            )
        ) from None


def describe(member: Member) -> dict[str, Any]:
    """A member of a menu as data: its kind and its settings."""
    return {"kind": member.kind, **member.model_dump(mode="json")}


def _read_yaml(path: Path) -> DictConfig:
    try:
        values = OmegaConf.load(path)
        _each_text(OmegaConf.to_container(values), _without_resolver)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; --config takes a YAML file such as those in conf/") from None
    except _UNREADABLE as error:
        raise SettingsError(f"{path}: not readable as YAML: {_reason(error)}") from None
    if not isinstance(values, DictConfig):
        raise SettingsError(f"{path}: holds a list, expected key: value lines")
    return values


def _read_override(override: str, types: Types) -> list[tuple[str, DictConfig]]:
    """An override as its key and a config that contains only this key."""
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise SettingsError(f"{override!r}: expected key=value, e.g. seed=7")
    if not override.isascii() and override.encode(errors="replace").decode() != override:
        raise SettingsError(f"{override!r}: is not UTF-8; rename what is so named, or use a locale with UTF-8")
    for part in key.split("."):
        types = types_at(types, part)
    try:
        if is_text(types, or_list=not text.startswith(("[", "{"))):
            nothing = not text or (text == "null" and NoneType in types)
            return [(key, _nested(key, None if nothing else _escaped(text)))]
        parsed: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
        value = _each_text(parsed["value"], _without_resolver)
        if value == "???":
            raise SettingsError(f"{override!r}: ??? says that a value is missing; give one")
        cleared = [(key, _nested(key, None))] if isinstance(value, dict) else []
        return [*cleared, (key, _nested(key, value))]
    except _UNREADABLE as error:
        raise SettingsError(f"{override!r}: not readable as YAML: {_reason(error)}") from None


def _nested(key: str, value: Any) -> DictConfig:
    *outer, last = key.split(".")
    nested: dict[str, Any] = {last: value}
    for part in reversed(outer):
        nested = {part: nested}
    return OmegaConf.create(nested)


def _each_text(values: Any, change: Callable[[str], str]) -> Any:
    """The same values with all text changed. Raises ValueError for a key that YAML reads as a number, a boolean or
    null."""
    if isinstance(values, dict):
        if others := [key for key in values if not isinstance(key, str)]:
            raise ValueError(f"the key {others[0]!r} is not text; write it in quotes")
        return {key: _each_text(inner, change) for key, inner in values.items()}
    if isinstance(values, list):
        return [_each_text(inner, change) for inner in values]
    return change(values) if isinstance(values, str) else values


def _escaped(text: str) -> str:
    """Escaped so that OmegaConf takes it literally."""
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return "\\" + text if re.fullmatch(r"\\*\?\?\?", text) else text


def _without_resolver(text: str) -> str:
    if _RESOLVER.search(text):
        raise ValueError(rf"{text}: nothing outside of the settings can be named, only ${{key}}; for text write \${{")
    return text


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "too deeply nested"
    return str(error).partition("\n    object_type=")[0]


def _menu_folders(menus: Path, types: Types) -> dict[str, Path]:
    """The folders of menus, by key."""
    folders = sorted(folder for folder in menus.iterdir() if folder.is_dir()) if menus.is_dir() else []
    return {folder.name: folder for folder in folders if not is_text(types_at(types, folder.name))}


def _read_menu(folder: Path, names: Any) -> Any:
    """The files of a menu that `names` names, merged; `names` itself if it is not a name."""
    chosen = [names] if isinstance(names, str) else names
    if not isinstance(chosen, list | ListConfig):
        return names
    menu = sorted(path.stem for path in folder.glob("*.yaml"))
    for name in chosen:
        if name not in menu:
            raise SettingsError(f"{folder.name}={name}: not in {folder}; there are: {', '.join(menu)}")
    return OmegaConf.merge(*(_read_yaml(folder / f"{name}.yaml") for name in chosen))


def _describe(problem: ErrorDetails, types: Types) -> str:
    *within, last = [part for part in map(str, problem["loc"]) if not part.endswith("]")] or [""]  # "tuple[str, ...]"
    key, given = ".".join([*within, last]), problem["input"]
    if problem["type"] == "extra_forbidden":
        for part in within:
            types = types_at(types, part)
        known = ", ".join(keys_of(types))
        return f"{key}: unknown key" + (f"; there are: {known}" if known else "")
    if problem["type"] == "missing":
        return f"{key}: missing; give {key}=…"
    message = problem["msg"].removeprefix("Value error, ")
    of_text = problem["type"] in ("string_type", "literal_error") or message.endswith("valid path")
    if not isinstance(given, dict):
        message += f", got {given!r}"
    if problem["type"] in ("tuple_type", "list_type") and isinstance(given, str | int | float):
        message += f"; write {key}=[{given}]"
    elif of_text and isinstance(given, bool | int | float):
        message += "; for text write it in quotes"
    elif problem["type"] == "bool_type":
        message += "; write true or false"
    return (f"{key}: " if key else "") + message
