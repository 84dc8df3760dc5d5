"""The console of every job."""

from rich.console import Console

__all__ = ["make_console"]


def make_console(*, stderr: bool = False) -> Console:
    """Says text as it is: [red] and :car: in a path or a name are no markup, and no path is broken into lines."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)
