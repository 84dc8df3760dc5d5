"""The links of a chain, each known, missing, or in contradiction to another one."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pipelines.errors import RoadsignError

__all__ = ["LineageError", "Link", "State", "check_chain"]

State = Literal["known", "missing", "broken"]


class LineageError(RoadsignError):
    """Two records of the same thing differ, or nothing is recorded of a model."""


class Link(NamedTuple):
    """`place` is its part of the chain: source, variant, run, model, version or decision."""

    place: str
    text: str
    state: State = "known"


def check_chain(links: Sequence[Link]) -> str:
    """A sentence on the whole chain. Raises LineageError if something in it is contradicted."""
    if broken := [link for link in links if link.state == "broken"]:
        raise LineageError(f"the chain is broken: {'; '.join(f'{link.place}: {link.text}' for link in broken)}")
    missing = sum(link.state == "missing" for link in links)
    if not missing:
        return "The chain is whole: every link is there, and none contradicts another one."
    return f"{missing} of {len(links)} links {'is' if missing == 1 else 'are'} missing; the others agree."
