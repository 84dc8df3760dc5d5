"""What the settings' types declare a key to be: text that stands for itself, or something that YAML has a notation for.

The types at a key are a tuple: the parts of a union, and for a menu its base class with all members, as which of them
it will be is not known before everything is read.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

__all__ = ["Types", "is_text", "keys_of", "read_scalar", "types_at", "types_of"]

Types = tuple[Any, ...]

_CONSTANTS = {"null": None, "~": None, "true": True, "false": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def types_of(annotation: Any) -> Types:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return types_of(arguments[0])
    if origin in (Union, UnionType):
        return tuple(found for argument in arguments for found in types_of(argument))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation, *(found for member in annotation.__subclasses__() for found in types_of(member)))
    return (annotation,)


def types_at(types: Types, key: str) -> Types:
    """Of the value at `key` of a mapping, or of any element of a list; () where nothing is declared."""
    found: list[Any] = []
    for one in types:
        if _is_model(one):
            field = one.model_fields.get(key)
            found += types_of(field.annotation) if field else ()
        elif _is(one, Mapping):
            found += types_of(get_args(one)[1]) if get_args(one) else ()
        else:
            found += _elements(one)
    if sum(map(_is_model, types)) > 1:  # a menu, in which null leaves a key to the default of whichever member it is
        found.append(NoneType)
    return tuple(found)


def keys_of(types: Types) -> list[str]:
    """That are declared by name."""
    return list(dict.fromkeys(key for one in types if _is_model(one) for key in one.model_fields))


def is_text(types: Types) -> bool:
    """Whether nothing but text, or a path, or None, is declared."""
    given = [one for one in types if one is not NoneType]
    return bool(given) and all(one in (str, Path) or _is_literal_text(one) for one in given)


def read_scalar(text: str, types: Types) -> bool | int | float | str | None:
    """What text without quotes means where `types` are declared; no text is None.

    Where that is text, or a list of text, it stands for itself; only `null` is None where None is declared, too.
    Elsewhere null, booleans and numbers are as in YAML 1.2's core schema (not as in YAML 1.1, where yes is true and
    1:30 is 90), and all else is text."""
    if not text:
        return None
    alone = types + tuple(element for one in types for element in _elements(one))
    if is_text(tuple(one for one in alone if not _elements(one))):
        return None if text == "null" and NoneType in types else text
    if text.lower() in _CONSTANTS and text in (text.lower(), text.upper(), text.capitalize()):
        return _CONSTANTS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def _is_model(one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, BaseModel)


def _is(one: Any, kind: type) -> bool:
    origin = get_origin(one) or one
    return isinstance(origin, type) and issubclass(origin, kind)


def _elements(one: Any) -> Types:
    """The types of a list's elements."""
    if one is str or not _is(one, Sequence):
        return ()
    return tuple(found for argument in get_args(one) if argument is not ... for found in types_of(argument))


def _is_literal_text(one: Any) -> bool:
    return get_origin(one) is Literal and all(isinstance(value, str) for value in get_args(one))
