"""YAML + key=value overrides → frozen typed settings."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator, ValidationError
from pydantic_core import ErrorDetails

from pipelines.declared import Types, is_text, keys_of, read_scalar, types_at
from pipelines.errors import SettingsError
from pipelines.local_paths import expand_home, read_path
from pipelines.references import escaped, is_reference, resolved
from pipelines.yaml_text import MISSING, dump, parse

__all__ = [
    "LocalPath", "PathOrName", "Settings", "build_member", "choose", "describe", "load", "parse_arguments", "to_yaml",
]  # fmt: skip

LocalPath = Annotated[Path, PlainValidator(read_path)]
"""Of this machine: a ~ at the beginning is the home folder, file:///path is /path, other schemes are refused."""
PathOrName = Annotated[str, AfterValidator(expand_home)]
"""A path, in which a ~ at the beginning is the home folder, or a URL, or the name of something else."""

_REMEDIES = {"bool_type": "write true or false", "bool_parsing": "write true or false"}


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
    """The settings in `config`, with `overrides` ("a.b=value") laid over them in their order.

    What follows the first = is the value, to the last character, where the key is declared as text or as a path; only
    `null` is None where the key can be that. Elsewhere it is YAML. Nothing after the = is null everywhere.

    A key whose value names a file of the folder of that key in `menus` (by default the config's own folder) is replaced
    by that file: `noise: paper` reads noise/paper.yaml, `noise: [paper, proposal]` merges both in that order. A key
    that is plain text to `settings_type` has no menu, even where another job's key of that name has one. Overrides
    of keys inside it come last; a mapping ("a={b: 1}") takes the place of the whole one. ${a.b} in a file is the value
    of that key, after the overrides; $${ is a ${ that is none. Raises SettingsError, naming the file and the key.
    """
    types: Types = (settings_type,)
    told = f"{config} with {list(overrides) or 'no overrides'}"
    folders = _menu_folders(config.parent if menus is None else menus, types)
    given = [_read_override(override, types) for override in overrides]
    values = _read_yaml(config, types)
    values |= {key[0]: value for key, value in given if len(key) == 1 and key[0] in folders}
    for menu in values.keys() & folders.keys():
        values[menu] = _read_menu(folders[menu], values[menu], types_at(types, menu))
    others = [(key, value) for key, value in given if len(key) > 1 or key[0] not in folders]
    try:
        for key, value in sorted(others, key=lambda one: _lies_behind_reference(values, one[0])):
            _put(values, key, value, values)
        if missing := list(_missing(values)):
            raise SettingsError("\n".join([f"{told}:", *(f"  {key}: missing; give {key}=…" for key in missing)]))
        values = resolved(values, values)
        return settings_type.model_validate_json(json.dumps(values))  # JSON: a list may become a tuple, a string a path
    except ValidationError as error:
        problems = [f"  {_describe(problem, types)}" for problem in error.errors()]
        raise SettingsError("\n".join([f"{told}:", *problems])) from None
    except RecursionError:
        raise SettingsError(f"{told}: too deeply nested, or a ${{key}} that comes back to itself") from None
    except ValueError as error:
        raise SettingsError(f"{told}: {error}") from None


def parse_arguments(
    settings_type: type[SettingsT], default_config: Path, description: str, arguments: Sequence[str]
) -> tuple[SettingsT, bool]:
    """(settings, dry_run) from the three arguments that every job takes: [--config FILE] [--dry-run] [key=value …]."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=default_config, metavar="FILE", help=f"default {default_config}")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="laid over the config, e.g. seed=7")
    parsed, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        name, _, value = unknown[0].lstrip("-").partition("=")
        parser.error(f"{unknown[0]}: no such option; settings are given without dashes: {name}={value or '…'}")
    return load(settings_type, parsed.config, parsed.overrides, default_config.parent), parsed.dry_run


def to_yaml(settings: Settings) -> str:
    """The resolved settings as YAML, of which `load` makes the same settings again."""
    return dump(escaped(settings.model_dump(mode="json")))


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
                + (
                    f"unknown key; there are: {known}"
                    if problem["type"] == "extra_forbidden"
                    else problem["msg"].removeprefix("Value error, ")
                )
                for problem in error.errors()
            )
        ) from None


def describe(member: Member) -> dict[str, Any]:
    """A menu's member as data: its kind and its settings."""
    return {"kind": member.kind, **member.model_dump(mode="json")}


def _read_yaml(path: Path, types: Types) -> dict[str, Any]:
    try:
        values = parse(path.read_bytes(), types)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; --config takes a YAML file such as those in conf/") from None
    except (ValueError, OSError) as error:
        raise SettingsError(f"{path}: not readable as YAML: {error}") from None
    if not isinstance(values, dict):
        held = "a list" if isinstance(values, list) else repr(values)
        raise SettingsError(f"{path}: holds {held}, expected key: value lines")
    return values


def _read_override(override: str, types: Types) -> tuple[list[str], Any]:
    """Its key's parts, and its value."""
    dotted, equals, text = override.partition("=")
    key = dotted.split(".")
    if not equals or not all(key):
        raise SettingsError(f"{override!r}: expected key=value, e.g. seed=7")
    if not override.isascii() and override.encode(errors="replace").decode() != override:
        raise SettingsError(f"{override!r}: is not UTF-8; rename what is so named, or use a locale with UTF-8")
    for part in key:
        types = types_at(types, part)
    if text.startswith(("[", "{")) and not is_text(types):
        try:
            return key, parse(text, types)
        except ValueError as error:
            raise SettingsError(f"{override!r}: not readable as YAML: {error}") from None
    value = read_scalar(text, types)
    return key, value if is_reference(value) and not is_text(types) else escaped(value)


def _lies_behind_reference(values: Any, key: Sequence[str]) -> bool:
    """Then it is put last, when what is referred to has its own overrides."""
    for part in key:
        if is_reference(values):
            return True
        values = values.get(part) if isinstance(values, dict) else None
    return False


def _put(values: dict[str, Any], key: Sequence[str], value: Any, root: Mapping[str, Any]) -> None:
    *folders, last = key
    for part in folders:
        inner = values.get(part)
        if is_reference(inner):
            inner = escaped(resolved(inner, root))
        values[part] = inner if isinstance(inner, dict) else {}
        values = values[part]
    values[last] = value


def _menu_folders(menus: Path, types: Types) -> dict[str, Path]:
    """By key."""
    folders = sorted(folder for folder in menus.iterdir() if folder.is_dir()) if menus.is_dir() else []
    return {folder.name: folder for folder in folders if not is_text(types_at(types, folder.name))}


def _read_menu(folder: Path, names: Any, types: Types) -> Any:
    """The files of a menu that `names` stands for, merged; `names` itself where it is no name."""
    chosen = [names] if isinstance(names, str) else names
    if not isinstance(chosen, list):
        return names
    menu = sorted(path.stem for path in folder.glob("*.yaml"))
    merged: Any = {}
    for name in chosen:
        if name not in menu:
            raise SettingsError(f"{folder.name}={name}: not in {folder}; there are: {', '.join(menu)}")
        merged = _merged(merged, _read_yaml(folder / f"{name}.yaml", types))
    return merged


def _merged(below: Any, above: Any) -> Any:
    """`above` laid over `below`, key by key."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {**below, **{key: _merged(below.get(key), value) for key, value in above.items()}}


def _missing(value: Any, key: str = "") -> Iterator[str]:
    if value is MISSING:
        yield key
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _missing(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _missing(inner, key)


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
    if problem["type"] == "json_invalid":
        return message
    if not isinstance(given, dict):
        message += f", got {given!r}"
    if problem["type"] in ("tuple_type", "list_type") and isinstance(given, str | int | float):
        message += f"; write {key}=[{given}]"
    elif problem["type"] in _REMEDIES:
        message += f"; {_REMEDIES[problem['type']]}"
    return (f"{key}: " if key else "") + message
