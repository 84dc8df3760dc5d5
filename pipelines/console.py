"""The console that every job and training prints to."""

from rich.console import Console

__all__ = ["make_console"]


def make_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A console that prints text literally: [red] and :car: in a path or name are not markup, and paths are not
    wrapped."""
    return Console(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False, soft_wrap=True)
