"""What can be wrong with what a user gave us; each message names the file or key and says what to do."""

import sys
from collections.abc import Callable, Sequence

__all__ = ["RoadsignError", "SettingsError", "SourceError", "StoreError", "StreamError", "run_job"]


class RoadsignError(Exception):
    """A job prints its message alone, without a traceback, and exits with `exit_code`."""

    exit_code = 1


class SettingsError(RoadsignError):
    """An unknown key, a wrong type or an impossible value in the settings."""

    exit_code = 2


class SourceError(RoadsignError):
    """The raw dataset is missing, incomplete or damaged."""


class StoreError(RoadsignError):
    """A dataset cannot be written, or what is on disk is not what its manifest says."""


class StreamError(RoadsignError):
    """A dataset cannot be read, or what is read is not what its manifest and its files promised."""


def run_job(job: Callable[[Sequence[str]], None], arguments: Sequence[str]) -> int:
    """The exit code of a job: 0, or that of the RoadsignError that it raised, whose message alone is printed."""
    try:
        job(arguments)
    except RoadsignError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    return 0
