"""The console that every job and training prints to."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import track
from rich.text import Text

__all__ = ["at_work", "followed", "make_console", "time_of_day"]

Item = TypeVar("Item")
EVERY_S = 30.0
"""How often a line is printed where there is no terminal to draw a bar on."""


def make_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A console that prints text literally: [red] and :car: in a path or name are not markup, and paths are not
    wrapped."""
    return Console(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False, soft_wrap=True)


def followed(
    items: Sequence[Item], what: str, console: Console, clock: Callable[[], float] = time.monotonic
) -> Iterator[Item]:
    """The items, with a bar on a terminal, and elsewhere at most one line in 30 s: 14:05:31 variants: 3 of 40."""
    if console.is_terminal:
        yield from track(items, what, console=console, transient=True)
        return
    said = clock()
    for done, item in enumerate(items):
        if clock() - said >= EVERY_S:
            said = clock()
            console.print(f"{time_of_day(console)}{what}: {done} of {len(items)}")
        yield item


@contextmanager
def at_work(what: str, console: Console) -> Iterator[None]:
    """A spinner on a terminal while the block runs, and elsewhere one line: 14:05:31 vanilla, 28 px."""
    if console.is_terminal:
        with console.status(Text(what)):
            yield
    else:
        console.print(f"{time_of_day(console)}{what}")
        yield


def time_of_day(console: Console) -> str:
    """For lines that go to a file, where nobody sees how fast they come; nothing on a terminal."""
    return "" if console.is_terminal else time.strftime("%H:%M:%S ")
