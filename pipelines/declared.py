"""Whether the types of the settings declare a key as text; then the value of an override is taken literally.

The types at a key are a tuple: the parts of a union, and for a menu its base class with all members, since the chosen
member is not known before everything is read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from upath import UPath

__all__ = ["Types", "is_text", "keys_of", "types_at", "types_of"]

Types = tuple[Any, ...]


def types_of(annotation: Any) -> Types:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return types_of(arguments[0])
    if origin in (Union, UnionType):
        return tuple(found for argument in arguments for found in types_of(argument))
    if _is(annotation, BaseModel):
        return (annotation, *(found for member in annotation.__subclasses__() for found in types_of(member)))
    return (annotation,)


def types_at(types: Types, key: str) -> Types:
    """The types of the value at `key` of a mapping; () if nothing is declared."""
    models = [one for one in types if _is(one, BaseModel)]
    found = [model.model_fields[key].annotation for model in models if key in model.model_fields]
    found += [get_args(one)[1] for one in types if _is(one, Mapping) and get_args(one)]
    if len(models) > 1:  # a menu, in which null means the default of the chosen member
        found.append(NoneType)
    return tuple(inner for one in found for inner in types_of(one))


def keys_of(types: Types) -> list[str]:
    """The keys that are declared by name."""
    return list(dict.fromkeys(key for one in types if _is(one, BaseModel) for key in one.model_fields))


def is_text(types: Types, or_list: bool = False) -> bool:
    """Whether only text, or a path, or None, or with `or_list` a list of text, is declared."""
    given = [one for one in types if one is not NoneType]
    return bool(given) and all(
        one in (str, Path, UPath)
        or (get_origin(one) is Literal and all(isinstance(value, str) for value in get_args(one)))
        or (or_list and _is(one, Sequence) and is_text(types_of(get_args(one)[0])))
        for one in given
    )


def _is(one: Any, kind: type) -> bool:
    origin = get_origin(one) or one
    return isinstance(origin, type) and issubclass(origin, kind)
