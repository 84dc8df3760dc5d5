"""Wrong values in sentences that say what is expected and what to type."""

import json
import re
from collections.abc import Sequence

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from pipelines.declared import Types, keys_of, types_at

__all__ = ["describe_problems", "expected", "key_of"]

_EXPECTED = {
    "missing": "missing",
    "int_type": "must be a whole number", "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number", "float_parsing": "must be a number", "finite_number": "must be a finite number",
    "bool_type": "must be true or false", "bool_parsing": "must be true or false",
    "string_type": "must be text", "path_type": "must be a path", "none_required": "must be null",
    "tuple_type": "must be a list", "list_type": "must be a list", "set_type": "must be a list",
    "dict_type": "must be a mapping, {{key: value}}", "model_type": "must be a mapping, {{key: value}}",
    "model_attributes_type": "must be a mapping, {{key: value}}",
    "greater_than_equal": "must be at least {ge}", "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}", "less_than": "must be less than {lt}",
    "too_short": "needs at least {min_length} of them", "too_long": "takes at most {max_length} of them",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "has characters that are not allowed here (allowed: {pattern})",
}  # fmt: skip
_LISTS = {"tuple_type", "list_type", "set_type"}
_MAPPINGS = {"dict_type", "model_type", "model_attributes_type"}
_TEXTS = {"string_type", "literal_error"}


def describe_problems(problems: Sequence[ErrorDetails], types: Types) -> list[str]:
    """A sentence for each key; the alternatives of a key that may have several types are one sentence."""
    by_key: dict[str, list[ErrorDetails]] = {}
    for problem in problems:
        by_key.setdefault(key_of(problem), []).append(problem)
    return [_describe(key, those, types) for key, those in by_key.items()]


def expected(problem: ErrorDetails, model: type[BaseModel] | None = None) -> str:
    """What the value must be, without the key, which is one of `model` if it has no parent."""
    if problem["type"] == "extra_forbidden" and model is not None:
        known = [name for name in model.model_fields if name != "kind"]
        return f"unknown key; there are: {', '.join(known)}"
    if problem["type"] == "literal_error":
        return "must be " + re.sub(r"'([^' ]+)'", r"\1", str(problem.get("ctx", {})["expected"]))
    template = _EXPECTED.get(problem["type"])
    if template is None:
        return problem["msg"].removeprefix("Value error, ")
    facts = problem.get("ctx", {}).items()
    return template.format_map({name: f"{value:g}" if isinstance(value, float) else value for name, value in facts})


def key_of(problem: ErrorDetails) -> str:
    return ".".join(part for part in map(str, problem["loc"]) if not part.endswith("]"))  # "tuple[str, ...]"


def _describe(key: str, problems: Sequence[ErrorDetails], types: Types) -> str:
    first, given = problems[0], problems[0]["input"]
    if first["type"] == "extra_forbidden":
        return _unknown(key, types)
    if first["type"] == "missing":
        return f"{key}: missing; give {key}=…"
    told = dict.fromkeys(expected(problem) for problem in problems)
    message = " or ".join([next(iter(told)), *(text.removeprefix("must be ") for text in list(told)[1:])])
    if not isinstance(given, dict):
        message += f", got {json.dumps(given) if given is None or isinstance(given, bool) else repr(given)}"
    name = str(first["loc"][-1]) if first["loc"] else ""
    return (f"{key}: " if key else "") + "; ".join([message, *_hints(key, name, message, problems)])


def _unknown(key: str, types: Types) -> str:
    for part in key.split(".")[:-1]:
        types = types_at(types, part)
    known = ", ".join(keys_of(types))
    return f"{key}: unknown key" + (f"; there are: {known}" if known else "")


def _hints(key: str, name: str, message: str, problems: Sequence[ErrorDetails]) -> list[str]:
    kinds, given = {one["type"] for one in problems}, problems[0]["input"]
    if given is None and ":" in name:  # {clean:0.5}
        inner, _, value = name.partition(":")
        return [f"after a colon YAML needs a space: '{key.removesuffix(f'.{name}')}={{{inner}: {value}}}'"]
    if kinds & _LISTS and isinstance(given, str | int | float):
        return [f"write {key}=[{given}]"]
    if kinds & _MAPPINGS and isinstance(given, str) and (pair := re.fullmatch(r"([\w-]+):\s*(\S+)", given)):
        return [f"write it in quotes, since the shell splits {{…}}: '{key}={{{pair[1]}: {pair[2]}, …}}'"]
    if (kinds & _TEXTS or message.startswith("must be a path")) and isinstance(given, bool | int | float):
        return ["for text write it in quotes"]
    return []
