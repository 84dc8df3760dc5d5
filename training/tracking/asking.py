"""The single place that handles the errors of MLflow, SQLAlchemy and requests: one line that names the store and the
remedy."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]
from mlflow.exceptions import MlflowException, RestException
from sqlalchemy.exc import SQLAlchemyError

from training.tracking.database import DEFAULT_DATABASE
from training.tracking.sender import UnreachableError
from training.tracking.spool import TrackingError

__all__ = ["STORE_ERRORS", "UnknownError", "asking", "is_lasting", "shown", "unreachable"]

STORE_ERRORS = (MlflowException, SQLAlchemyError, ParseError, OSError, ModuleNotFoundError)
"""requests' errors are OSErrors; a database needs the module of its driver."""
HTTP = ("http://", "https://")
PASSING_STATUS = (401, 403, 408, 429)
"""Client error codes that may be temporary."""
ANSWERED = re.compile(r"failed with error code (\d{3}) !=")
"""MLflow's message for an answer that MLflow did not write."""
LONGEST = 300


class UnknownError(TrackingError):
    """The store answers, but has no such run, model or experiment."""


@contextmanager
def asking(uri: str) -> Iterator[None]:
    """Converts STORE_ERRORS raised in the block to UnreachableError, UnknownError, or TrackingError if a retry would
    not help."""
    try:
        yield
    except STORE_ERRORS as error:
        raise _told(uri, error) from None


def unreachable(uri: str, why: str) -> UnreachableError:
    if not uri.startswith(HTTP):
        return UnreachableError(f"{shown(uri)}: temporarily unavailable ({why}); try again later")
    return UnreachableError(
        f"{shown(uri)}: no tracking server: {why}; start it (uv run mlflow server --host … --port …) or unset "
        f"MLFLOW_TRACKING_URI to keep runs in {DEFAULT_DATABASE}"
    )


def is_lasting(error: Exception) -> bool:
    """Whether the same request would get the same answer again."""
    return isinstance(error, FileNotFoundError) or (
        400 <= _status(error) < 500 and _status(error) not in PASSING_STATUS
    )


def shown(uri: str) -> str:
    """The URI without a password."""
    return re.sub(r"(://[^/:@]*):[^/]*@", r"\1:***@", uri)


def _told(uri: str, error: Exception) -> TrackingError:
    why, status = _line(error), _status(error)
    if isinstance(error, ModuleNotFoundError):
        return TrackingError(f"{shown(uri)}: {why}; install that database's driver, or use an mlflow server")
    if status in (401, 403):
        return UnreachableError(
            f"{shown(uri)}: the tracking server refuses access (status {status}); set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN) to those of a user with the permission"
        )
    if uri.startswith(HTTP) and _is_foreign(error):
        return TrackingError(
            f"{shown(uri)}: the server there is not an MLflow server (status {status}); set "
            "MLFLOW_TRACKING_URI to the server's address, without a path that a browser adds"
        )
    if "readonly database" in why or "read-only" in why:
        return TrackingError(f"{shown(uri)}: cannot be written ({why}); give this user write permission there")
    if isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST":
        return UnknownError(f"{shown(uri)}: {why}")
    if is_lasting(error):
        return TrackingError(f"{shown(uri)}: {why}")
    return unreachable(uri, why)


def _is_foreign(error: Exception) -> bool:
    """Whether the answer is not MLflow's: MLflow answers with JSON, other programs with pages."""
    if isinstance(error, ParseError):
        return True
    if not isinstance(error, MlflowException) or isinstance(error, RestException):
        return False
    return "valid JSON" in error.message or (bool(ANSWERED.search(error.message)) and 300 <= _status(error) < 500)


def _status(error: Exception) -> int:
    """The HTTP status, or 0 if there is none."""
    if isinstance(error, MlflowException):
        found = ANSWERED.search(error.message)
        return int(found[1]) if found else error.get_http_status_code()
    return getattr(getattr(error, "response", None), "status_code", 0)


def _line(error: Exception) -> str:
    """The first line of the message; SQLAlchemy's further lines hold SQL, and a server's a page."""
    text = error.message if isinstance(error, MlflowException) else str(error)
    line = (text.strip() or type(error).__name__).splitlines()[0].partition(" Response body:")[0]
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
