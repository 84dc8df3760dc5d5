"""The end of every job: one line and an exit code."""

import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper

from pipelines.argument_forms import refuse_split
from pipelines.commands import as_typed
from pipelines.errors import RoadsignError, SettingsError, describe_refusal
from pipelines.job.process import tidy_process

__all__ = ["run_job"]


def run_job(job: Callable[[Sequence[str]], None], arguments: Sequence[str]) -> int:
    """The exit code of a job: 0, or that of the RoadsignError that it raised, whose message is printed without a
    traceback; 1 for errors of the system (a full disk …), in one line; 130 after Ctrl-C. SIGTERM ends a job with 143,
    after cleanup."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # characters that the terminal lacks must not stop a job
    try:
        with tidy_process():
            _refuse_mangled(arguments)
            refuse_split(arguments)
            job(arguments)
            sys.stdout.flush()
    except RoadsignError as error:
        if interrupt := _interrupt_before(error):
            return _end_interrupted(interrupt)
        print(f"error: {as_typed(error)}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes stdout at exit
        print("error: the reader of the output has closed it, so the job has stopped", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {describe_refusal(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        return _end_interrupted(error)
    return 0


def _interrupt_before(error: BaseException | None) -> KeyboardInterrupt | None:
    """PySpark collects a frame's rows with a `finally` that raises what the interrupted job has raised."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def _end_interrupted(error: KeyboardInterrupt) -> int:
    print("error: " + "; ".join(["interrupted", *map(str, error.args)]), file=sys.stderr)
    return 130


def _refuse_mangled(arguments: Sequence[str]) -> None:
    """spark-submit passes arguments on in the encoding of its locale: in C and POSIX an ü arrives as ??. Raises
    SettingsError."""
    doubtful = [argument for argument in arguments if "?" in argument]
    if not doubtful or "PYSPARK_GATEWAY_PORT" not in os.environ:
        return
    from pipelines.spark.session import java_encoding  # here: jobs without Spark need not import it

    encoding = java_encoding()
    if encoding.upper() not in ("UTF-8", "UTF8"):
        raise SettingsError(
            f"{doubtful[0]!r}: spark-submit runs in a locale without UTF-8 (Java says {encoding}) and may have put ? "
            "in place of other letters; set LC_ALL=C.UTF-8 for spark-submit"
        )
