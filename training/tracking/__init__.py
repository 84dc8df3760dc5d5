"""Runs, their datasets and their models in MLflow. A tracking server that fails during a run loses nothing."""

import os

_MLFLOW_IS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the sender retries; MLflow's own retries would delay a run by minutes
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""MLflow reads these only from the environment, the last one when it is imported. Values that a user has set are
kept."""
for _name, _value in _MLFLOW_IS.items():
    os.environ.setdefault(_name, _value)

from training.tracking.comparing import compare, finished_runs, write_comparison  # noqa: E402
from training.tracking.datasets import DatasetUsed  # noqa: E402
from training.tracking.finding import FoundModel, find_file, find_models  # noqa: E402
from training.tracking.history import History, RecordedRun, Registered, UsedVariant  # noqa: E402
from training.tracking.registry import CHALLENGER, CHAMPION, PREVIOUS, ModelName, Registry, Version  # noqa: E402
from training.tracking.runs import RunStoppedError, TrackedRun, Tracking, end_run, reopened_run, tracked_run  # noqa: E402
from training.tracking.sender import UnreachableError  # noqa: E402
from training.tracking.spool import Spool, SpoolBusyError, TrackingError  # noqa: E402
from training.tracking.syncing import Sent, send_kept  # noqa: E402
from training.tracking.ui import UserInterface, serve  # noqa: E402

__all__ = [
    "CHALLENGER", "CHAMPION", "PREVIOUS", "DatasetUsed", "FoundModel", "History", "ModelName", "RecordedRun",
    "Registered", "Registry", "RunStoppedError", "Sent", "Spool", "SpoolBusyError", "TrackedRun", "Tracking",
    "TrackingError", "UnreachableError", "UsedVariant", "UserInterface", "Version", "compare", "end_run", "find_file",
    "find_models", "finished_runs", "reopened_run", "send_kept", "serve", "tracked_run", "write_comparison",
]  # fmt: skip
