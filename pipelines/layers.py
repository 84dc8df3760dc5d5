"""What settings are read from, as layers of OmegaConf: YAML files, overrides, files of menus with their recipes.

The only reader and writer of YAML, for pipelines.settings."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationToMissingValueError, OmegaConfBaseException
from pydantic import BaseModel
from yaml import CollectionEndEvent, CollectionStartEvent, MarkedYAMLError, SafeLoader, YAMLError, parse, safe_dump

from pipelines.declared import Types, is_text, keys_of, types_at
from pipelines.errors import SettingsError

__all__ = [
    "UNREADABLE", "Chosen", "each_text", "escaped", "menu_folders", "plain_yaml", "read_menu", "read_override",
    "read_yaml", "reason", "replacing",
]  # fmt: skip

MAX_LEVELS = 50
RECIPE = "recipe"
"""The key of a menu's file under which it says what it changes outside of its menu."""
UNREADABLE = (YAMLError, OmegaConfBaseException, ValueError, TypeError, OSError, RecursionError)
_RESOLVER = re.compile(r"(?<!\\)(?:\\\\)*\$\{(?![^${}:]+\})")
"""A ${ that is not escaped by a backslash and not the beginning of ${key}."""


class Chosen(NamedTuple):
    """What a menu's key stands for: the merged files, or the value itself where it is no name; and their recipes, by
    file, in the order in which they are to be laid over one another."""

    values: Any
    recipes: dict[Path, DictConfig]


def read_yaml(path: Path) -> DictConfig:
    try:
        _refuse_deep(path.read_text(encoding="utf-8"))
        values = OmegaConf.load(path)
        each_text(OmegaConf.to_container(values), _without_resolver)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; --config takes a YAML file such as those in conf/") from None
    except UNREADABLE as error:
        raise SettingsError(f"{path}: not readable as YAML: {reason(error)}") from None
    if not isinstance(values, DictConfig):
        raise SettingsError(f"{path}: holds a list, expected key: value lines")
    return values


def read_override(override: str, types: Types) -> list[tuple[str, DictConfig]]:
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
            return [(key, _nested(key.split("."), None if nothing else escaped(text)))]
        _refuse_deep(text)
        parsed: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
        value = each_text(parsed["value"], _without_resolver)
        if value == "???":
            raise SettingsError(f"{override!r}: ??? says that a value is missing; give one")
        cleared = [(key, _nested(key.split("."), None))] if isinstance(value, dict) else []
        return [*cleared, (key, _nested(key.split("."), value))]
    except UNREADABLE as error:
        raise SettingsError(f"{override!r}: not readable as YAML: {reason(error)}") from None


def plain_yaml(values: Any) -> str:
    """Plain data as YAML, keys in their order; what any reader of YAML makes the same data of."""
    return safe_dump(values, sort_keys=False, allow_unicode=True, width=120)


def _refuse_deep(text: str) -> None:
    """Raises ValueError for YAML that would overflow the stack of the loader, which ends the process without a word."""
    depth = 0
    for event in parse(text, SafeLoader):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_LEVELS:
            raise ValueError(f"more than {MAX_LEVELS} lists or mappings inside each other")


def _nested(key: Sequence[str], value: Any) -> DictConfig:
    *outer, last = key
    nested: dict[str, Any] = {last: value}
    for part in reversed(outer):
        nested = {part: nested}
    return OmegaConf.create(nested)


def each_text(values: Any, change: Callable[[str], str]) -> Any:
    """The same values with all text changed. Raises ValueError for a key that YAML reads as a number, a boolean or
    null."""
    if isinstance(values, dict):
        if others := [key for key in values if not isinstance(key, str)]:
            raise ValueError(f"the key {others[0]!r} is not text; write it in quotes")
        return {key: each_text(inner, change) for key, inner in values.items()}
    if isinstance(values, list):
        return [each_text(inner, change) for inner in values]
    return change(values) if isinstance(values, str) else values


def escaped(text: str) -> str:
    """Escaped so that OmegaConf takes it literally."""
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return "\\" + text if re.fullmatch(r"\\*\?\?\?", text) else text


def _without_resolver(text: str) -> str:
    if _RESOLVER.search(text):
        raise ValueError(rf"{text}: nothing outside of the settings can be named, only ${{key}}; for text write \${{")
    return text


def reason(error: BaseException) -> str:
    """One line, without the words of the libraries."""
    if isinstance(error, RecursionError):
        return "too deeply nested"
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        problem = str(error.problem).replace("'<stream end>'", "the end")
        return f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: {problem}"
    if isinstance(error, InterpolationKeyError | InterpolationToMissingValueError):
        return f"names a key that is not there: {str(error).splitlines()[0].removeprefix('Interpolation key ')}"
    told = " ".join(line.strip() for line in str(error).partition("\n    object_type=")[0].splitlines())
    return told.replace(
        "Cannot merge incompatible container types", "a list in place of a mapping, or a mapping in place of a list"
    )


def menu_folders(menus: Path, types: Types) -> dict[str, Path]:
    """The folders of menus, by key."""
    folders = sorted(folder for folder in menus.iterdir() if folder.is_dir()) if menus.is_dir() else []
    return {folder.name: folder for folder in folders if not is_text(types_at(types, folder.name))}


def read_menu(folders: dict[str, Path], menu: str, names: Any, types: Types) -> Chosen:
    """Raises SettingsError, naming the file."""
    folder = folders[menu]
    chosen = [names] if isinstance(names, str) else names
    if not isinstance(chosen, list | ListConfig):
        return Chosen(names, {})
    there = sorted(path.stem for path in folder.glob("*.yaml"))
    if not chosen:
        raise SettingsError(f"{folder.name}=[]: names nothing of {folder}; there are: {', '.join(there)}")
    values, recipes = [], {}
    for name in chosen:
        if name not in there:
            raise SettingsError(f"{folder.name}={name}: not in {folder}; there are: {', '.join(there)}")
        path = folder / f"{name}.yaml"
        read = read_yaml(path)
        if RECIPE in read:
            recipes[path] = _checked_recipe(path, read.pop(RECIPE), menu, folders, types)
        values.append(read)
    return Chosen(OmegaConf.merge(*values), recipes)


def replacing(layer: DictConfig, types: Types) -> list[DictConfig]:
    """`layer` as what has to be merged in its order so that it is laid over others: settings key by key, any other
    mapping, such as shares by name or a menu's member, in place of the whole one."""
    cleared: list[DictConfig] = []

    def clear(values: Any, within: Sequence[str], types: Types) -> None:
        for key, value in values.items():
            if not isinstance(value, dict):
                continue
            inner = types_at(types, key)
            if len(models := [one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)]) == 1:
                clear(value, [*within, key], tuple(models))
            else:
                cleared.append(_nested([*within, key], None))

    clear(OmegaConf.to_container(layer), (), types)
    return [*cleared, layer]


def _checked_recipe(path: Path, recipe: Any, menu: str, folders: dict[str, Path], types: Types) -> DictConfig:
    if not isinstance(recipe, DictConfig):
        raise SettingsError(f"{path}: {RECIPE}: expected key: value lines")
    if menu in recipe:
        raise SettingsError(f"{path}: {RECIPE}.{menu}: is what the file itself is a choice of")
    for key in folders.keys() & recipe.keys():
        if not isinstance(recipe[key], DictConfig):
            raise SettingsError(f"{path}: {RECIPE}.{key}: cannot be a name; write {key}: {{kind: {recipe[key]}}}")
    _check_keys(path, RECIPE, OmegaConf.to_container(recipe), types)
    return recipe


def _check_keys(path: Path, within: str, values: Any, types: Types) -> None:
    known = keys_of(types)
    for key, value in values.items():
        if known and key not in known:
            raise SettingsError(f"{path}: {within}.{key}: unknown key; there are: {', '.join(known)}")
        inner = types_at(types, key)
        if isinstance(value, dict) and len([one for one in inner if keys_of((one,))]) == 1:
            _check_keys(path, f"{within}.{key}", value, inner)
