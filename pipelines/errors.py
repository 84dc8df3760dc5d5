"""What can be wrong with what a user gave us; each message names the file or key and says what to do."""

__all__ = ["RoadsignError", "SettingsError", "SourceError", "StoreError", "StreamError"]


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
