"""The errors of a user's input; each message names the file or key and says what to do."""

import errno
import traceback

__all__ = ["RoadsignError", "SettingsError", "SourceError", "StoreError", "StreamError", "describe_refusal"]

_LOOK = "fix this, then run the same command again"
_REMEDIES = {
    errno.ENOSPC: "make room on that disk, or choose a folder on another one",
    errno.EDQUOT: "make room within your quota, or choose a folder on another disk",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose a file or folder that you have permission for",
    errno.EPERM: "choose a file or folder that you have permission for",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path: a part of it is a file",
    errno.EISDIR: "move that folder away, or choose another file",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


class RoadsignError(Exception):
    """A job prints only its message, without a traceback, and exits with `exit_code`."""

    exit_code = 1


class SettingsError(RoadsignError):
    """An unknown key, a wrong type or an impossible value in the settings."""

    exit_code = 2


class SourceError(RoadsignError):
    """The raw dataset is missing, incomplete or corrupt."""


class StoreError(RoadsignError):
    """A dataset cannot be written, or the files on disk do not match its manifest."""


class StreamError(RoadsignError):
    """A dataset cannot be read, or does not match its manifest and the footers of its files."""


def describe_refusal(error: OSError) -> str:
    """One line: the file, the system's message, and what to do. If the system names no file, as for a full disk, the
    place in the code."""
    where = " → ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    if not where and (frames := traceback.extract_tb(error.__traceback__)):
        where = f"{type(error).__name__} in {frames[-1].name} ({frames[-1].filename}:{frames[-1].lineno})"
    what = " ".join((error.strerror or str(error)).split())
    return "; ".join([f"{where}: {what}" if where else what, _REMEDIES.get(error.errno or 0, _LOOK)])
