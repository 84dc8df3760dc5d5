"""What --help says of every key: its default and comment from the YAML, its type and bounds from the settings."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipelines.declared import Types, types_at, types_of
from pipelines.yaml_lines import YamlLine, read_lines

__all__ = ["describe_keys"]

_WIDTH = 80
_NAMES = {bool: "true or false", int: "integer", float: "number", str: "text", Path: "path"}
_UNITS = {
    "px": "pixels", "deg": "degrees", "db": "dB", "s": "seconds", "h": "hours", "grey": "grey levels of 255",
}  # fmt: skip
_BOUNDS = ((Ge, "ge", "≥"), (Gt, "gt", ">"), (Le, "le", "≤"), (Lt, "lt", "<"))


def describe_keys(settings_type: type[BaseModel], config: Path) -> str:
    """Every key of `config` and of `settings_type`, first key=default, then (type, unit) and the comment."""
    lines = [line for line in read_lines(config) if line.value is not None]
    written = {line.key for line in read_lines(config)}
    unwritten = [YamlLine(key, *said) for key, said in _declared(settings_type, written, "")]
    described = []
    for line in [*lines, *unwritten]:
        what = ", ".join(filter(None, [_type(settings_type, line.key, config.parent), _unit(line.key)]))
        told = textwrap.fill(
            f"({what}) {line.comment}" if what else line.comment, _WIDTH,
            initial_indent="      ", subsequent_indent="      ", break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        described.append(f"  {line.key}={line.value}\n{told}".rstrip())
    return "\n".join(["settings with their defaults:", *described])


def _declared(model: type[BaseModel], written: set[str], within: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Keys that the YAML leaves to their defaults."""
    for name, field in model.model_fields.items():
        key = f"{within}{name}"
        if key not in written and not any(name.startswith(f"{key}.") for name in written):
            yield key, (_default(field), field.description or "")
        elif any(name.startswith(f"{key}.") for name in written) and (inner := _only_model(types_of(field.annotation))):
            yield from _declared(inner, written, f"{key}.")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True) if not field.is_required() else "…"
    if isinstance(value, BaseModel):
        return str(getattr(value, "kind", "…"))
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _only_model(types: Types) -> type[BaseModel] | None:
    models = _models(types)
    return models[0] if len(models) == 1 else None


def _models(types: Types) -> list[type[BaseModel]]:
    return [one for one in types if isinstance(one, type) and issubclass(one, BaseModel)]


def _type(settings_type: type[BaseModel], key: str, conf: Path) -> str:
    *outer, last = key.split(".")
    types: Types = (settings_type,)
    for part in outer:
        types = types_at(types, part)
    fields = [one.model_fields[last] for one in types if hasattr(one, "model_fields") and last in one.model_fields]
    if not outer and (menu := conf / last).is_dir() and not _is_text(types_at(types, last)):
        return f"one of {', '.join(sorted(path.stem for path in menu.glob('*.yaml')))}"
    found = types_at(types, last)
    given = [one for one in found if str not in found or one in (str, NoneType)]
    names = list(dict.fromkeys(filter(None, map(_name, given))))
    if len(_models(found)) > 1:
        names = ["name", *names]
    bounds = [
        f"{sign} {getattr(mark, name):g}"
        for field in fields[:1] for mark in field.metadata for kind, name, sign in _BOUNDS if isinstance(mark, kind)
    ]  # fmt: skip
    said = " ".join(filter(None, [" or ".join(names), " and ".join(bounds)]))
    return f"{said} or null" if names and NoneType in found else said


def _is_text(types: Types) -> bool:
    return set(types) <= {str, NoneType}


def _name(one: Any) -> str:
    origin = get_origin(one) or one
    if origin is Literal:
        return " | ".join(map(str, get_args(one)))
    if one in _NAMES:
        return _NAMES[one]
    if isinstance(origin, type) and issubclass(origin, Mapping | BaseModel):
        return "mapping"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"list of {' or '.join(map(_name, types_of(get_args(one)[0])))}"
    return ""


def _unit(key: str) -> str:
    _, underscore, suffix = key.rpartition("_")
    return _UNITS.get(suffix, "") if underscore else ""
