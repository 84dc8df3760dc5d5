"""What can be wrong with what a user gave us; each message names the file or key and says what to do."""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from io import TextIOWrapper

from pipelines.job.process import tidy_process

__all__ = [
    "RoadsignError", "SettingsError", "SourceError", "StoreError", "StreamError", "describe_refusal", "run_job",
]  # fmt: skip

_LOOK = "see to it, then run the same command again"
_REMEDIES = {
    errno.ENOSPC: "make room on that disk, or name a folder on another one",
    errno.EDQUOT: "make room within your quota, or name a folder on another disk",
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "name a file or folder that you have the rights to",
    errno.EPERM: "name a file or folder that you have the rights to",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path: a part of it is a file",
    errno.EISDIR: "move that folder away, or name another file",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


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
    """The exit code of a job: 0, or that of the RoadsignError that it raised, whose message alone is printed; 1 for
    what the system refused (a full disk …), in one line; 130 after Ctrl-C. SIGTERM ends a job with 143, after it has
    cleared up."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding lacks stops no job
    try:
        with tidy_process():
            _refuse_mangled(arguments)
            job(arguments)
            sys.stdout.flush()
    except RoadsignError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what Python still flushes at its end
        print("error: whoever read the output has gone, so the job has stopped", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {describe_refusal(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print("error: " + "; ".join(["interrupted", *map(str, error.args)]), file=sys.stderr)
        return 130
    return 0


def describe_refusal(error: OSError) -> str:
    """In one line: the file, what the system said, and what to do. Where the system names no file, as when a disk is
    full, it is the place in the code."""
    where = " → ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    if not where and (frames := traceback.extract_tb(error.__traceback__)):
        where = f"{type(error).__name__} in {frames[-1].name} ({frames[-1].filename}:{frames[-1].lineno})"
    what = " ".join((error.strerror or str(error)).split())
    return "; ".join([f"{where}: {what}" if where else what, _REMEDIES.get(error.errno or 0, _LOOK)])


def _refuse_mangled(arguments: Sequence[str]) -> None:
    """spark-submit passes arguments on in the encoding of its locale: in C and POSIX an ü arrives as ??. Raises
    SettingsError."""
    doubtful = [argument for argument in arguments if "?" in argument]
    if not doubtful or "PYSPARK_GATEWAY_PORT" not in os.environ:
        return
    from pipelines.spark.session import java_encoding  # here: jobs without Spark can do without

    encoding = java_encoding()
    if encoding.upper() not in ("UTF-8", "UTF8"):
        raise SettingsError(
            f"{doubtful[0]!r}: spark-submit runs in a locale without UTF-8 (Java says {encoding}) and may have put ? "
            "in place of other letters; set LC_ALL=C.UTF-8 for spark-submit"
        )
