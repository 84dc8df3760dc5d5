"""Values that name another key: ${a.b} stands for the value of that key. Nothing outside of the settings has a name.

$${ is how ${ is written where it is meant as it stands."""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["escaped", "is_reference", "resolved"]

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")


def resolved(value: Any, root: Mapping[str, Any]) -> Any:
    """With the values of the keys that it names. Raises ValueError, and RecursionError."""
    if isinstance(value, dict):
        return {key: resolved(inner, root) for key, inner in value.items()}
    if isinstance(value, list):
        return [resolved(inner, root) for inner in value]
    if not isinstance(value, str):
        return value
    if is_reference(value):
        return _named(value[2:-1], root)
    return _REFERENCE.sub(lambda found: str(_named(found[0][2:-1], root)) if found[0] != "$${" else "${", value)


def is_reference(value: Any) -> bool:
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return found is not None and found[1] is not None


def escaped(value: Any) -> Any:
    """Such that `resolved` leaves it as it is."""
    if isinstance(value, dict):
        return {key: escaped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [escaped(inner) for inner in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def _named(name: str, root: Mapping[str, Any]) -> Any:
    value: Any = root
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ValueError(
                f"${{{name}}}: there is no such key here, and nothing outside of the settings can be named; "
                "for that text itself write $${"
            )
        value = value[part]
    return resolved(value, root)
