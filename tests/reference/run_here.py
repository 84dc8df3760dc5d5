"""The type of the fixture run_here."""

from collections.abc import Callable
from subprocess import CompletedProcess

RunHere = Callable[..., CompletedProcess[str]]
