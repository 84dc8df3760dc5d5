"""The console of every job and training."""

from rich.console import Console

__all__ = ["make_console"]


def make_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """Says text as it is: [red] and :car: in a path or a name are no markup, and no path is broken into lines."""
    return Console(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False, soft_wrap=True)
