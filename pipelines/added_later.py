"""Settings as data for a fingerprint, which a key that is added later leaves as it was."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

__all__ = ["AddedLater", "decisive_values"]


@dataclass(frozen=True)
class AddedLater:
    """Marks a field that came after the first runs with these settings: `width: Annotated[int, AddedLater(before=1)]`.

    `before` is the value with which a run does what all runs did before there was the key. It is a fact of the past, so
    it stays as it is when the default changes: a run at the new default then has a fingerprint that no older run has,
    and a run at `before` still has that of the older ones. A field of the first hour needs no mark: its value is in
    every fingerprint, so a change of its default changes those of the runs that take it."""

    before: Any


def decisive_values(settings: BaseModel, without_effect: Set[str] = frozenset()) -> dict[str, Any]:
    """As model_dump(mode="json"), without the keys `without_effect` and without those that were AddedLater and do what
    was done before, in `settings` and in the settings inside of it, members of menus too; not in those inside of a list
    or a mapping."""
    values = settings.model_dump(mode="json", exclude=set(without_effect))
    _leave_out(settings, values)
    return values


def _leave_out(settings: BaseModel, values: dict[str, Any]) -> None:
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if name not in values:
            continue
        if any(isinstance(mark, AddedLater) and mark.before == value for mark in field.metadata):
            del values[name]
        elif isinstance(value, BaseModel) and isinstance(values[name], dict):
            _leave_out(value, values[name])
