"""An MLflow store, by an MlflowClient and explicit ids: no active run, no global tracking URI."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from training.locks import FolderError, held
from training.tracking.datasets import DatasetUsed
from training.tracking.sender import RefusedError, UnreachableError
from training.tracking.spool import Event, TrackingError

__all__ = ["MODEL", "Server", "tracking_uri"]

Item = TypeVar("Item")

DEFAULT_DATABASE = Path("mlruns", "mlflow.db")
SQLITE = "sqlite:///"
MODEL = "model"
CHECK_TIMEOUT_S = 3
METRICS_PER_CALL, PARAMS_PER_CALL = 1000, 100
LONGEST_TAG = 8000
PASSING_STATUS = (401, 403, 408, 429)
"""Of the answers that lay the blame on us, those that the next attempt may not get."""


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or a database in mlruns/ of the folder that the job was started in."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{DEFAULT_DATABASE.absolute()}"


class Server:
    """A Receiver of a spool's events."""

    def __init__(self, uri: str) -> None:
        """Asks nothing of a server yet. Raises TrackingError."""
        self.uri = uri
        _quieten_mlflow()
        try:
            with _alone_with(uri):
                self.client = MlflowClient(uri)
        except MlflowException as error:
            raise TrackingError(f"{uri}: not a tracking server that MLflow can use: {error.message}") from None
        except FolderError as error:
            raise TrackingError(f"{uri}: {error}") from None

    def check(self) -> None:
        if not self.uri.startswith(("http://", "https://")):
            return
        try:
            answer = http_request(
                get_default_host_creds(self.uri), "/health", "GET",
                max_retries=0, timeout=CHECK_TIMEOUT_S, raise_on_status=False,
            )  # fmt: skip
        except MlflowException:
            raise self._away("nothing answers there") from None
        if answer.status_code >= 500:
            raise self._away(f"it answers with status {answer.status_code}")

    def create_run(self, experiment: str, name: str) -> Run:
        """Raises UnreachableError, TrackingError."""
        self.check()
        try:
            return self.client.create_run(self._experiment_id(experiment), run_name=name)
        except (MlflowException, OSError) as error:
            raise TrackingError(f"{self.uri}: cannot begin a run in experiment {experiment}: {error}") from None

    def run(self, run_id: str) -> Run:
        """Raises UnreachableError, TrackingError where there is none."""
        self.check()
        try:
            return self.client.get_run(run_id)
        except MlflowException as error:
            if _is_lasting(error):
                raise TrackingError(f"{self.uri}: knows no run {run_id}") from None
            raise self._away(error.message) from None

    def register(self, run_id: str, name: str) -> str:
        """The version of the registered model `name` that has the run's model; made where there is none. Raises
        RefusedError where the run has no model, and MLflow's errors."""
        model_id = self._model_id(run_id, self.client.get_run(run_id).info.experiment_id)
        if model_id is None:
            raise RefusedError(f"run {run_id} has logged no model that could be registered as {name}")
        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = self.client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
        if found:
            return str(min(int(version.version) for version in found))
        source = self.client.get_logged_model(model_id).artifact_location
        return str(self.client.create_model_version(name, source, run_id, model_id=model_id).version)

    @contextmanager
    def asked(self) -> Iterator[None]:
        """MLflow's errors in the block become UnreachableError, or TrackingError where asking again would not help."""
        try:
            yield
        except (MlflowException, OSError) as error:  # requests' errors are OSErrors
            if _is_lasting(error):
                raise TrackingError(f"{self.uri}: {str(error).splitlines()[0]}") from None
            raise self._away(str(error)) from error

    def take(self, events: Sequence[Event], spool: Path) -> None:
        try:
            if events[0]["do"] == "metrics":
                self._take_metrics(events)
            else:
                self._take_one(events[0], spool)
        except (MlflowException, OSError) as error:  # requests' errors are OSErrors
            if _is_lasting(error):
                raise RefusedError(str(error)) from error
            raise self._away(str(error)) from error

    def _take_metrics(self, events: Sequence[Event]) -> None:
        """MLflow sees to it that one with the key, step, time and value of one that is there is not added again."""
        metrics = [
            Metric(key, value, event["at_ms"], event["step"]) for event in events
            for key, value in event["metrics"].items()
        ]  # fmt: skip
        for some in _pieces(metrics, METRICS_PER_CALL):
            self.client.log_batch(events[0]["run_id"], metrics=some, synchronous=True)

    def _take_one(self, event: Event, spool: Path) -> None:
        run_id = event["run_id"]
        match event["do"]:
            case "params":
                for some in _pieces(event["params"].items(), PARAMS_PER_CALL):
                    params = [Param(key, value) for key, value in some]
                    self.client.log_batch(run_id, params=params, synchronous=True)
            case "tags":
                for some in _pieces(event["tags"].items(), PARAMS_PER_CALL):
                    tags = [RunTag(key, value[:LONGEST_TAG]) for key, value in some]
                    self.client.log_batch(run_id, tags=tags, synchronous=True)
            case "datasets":
                self.client.log_inputs(run_id, [DatasetUsed(**used).as_input() for used in event["datasets"]])
            case "file":
                self.client.log_artifact(run_id, str(spool / event["file"]), event["folder"] or None)
            case "model":
                self._take_model(run_id, spool / event["file"])
            case "register":
                self.register(run_id, event["name"])
            case "status" if event["status"] == "RUNNING":
                self.client.update_run(run_id, event["status"])
            case "status":
                self.client.set_terminated(run_id, event["status"], event["at_ms"])
            case unknown:
                raise RefusedError(f"{unknown}: this version knows no such event")

    def _take_model(self, run_id: str, folder: Path) -> None:
        run = self.client.get_run(run_id)
        model_id = self._model_id(run_id, run.info.experiment_id)
        if model_id is None:
            model_id = self.client.create_logged_model(run.info.experiment_id, MODEL, source_run_id=run_id).model_id
        self.client.log_model_artifacts(model_id, str(folder))
        self.client.finalize_logged_model(model_id, "READY")
        known = run.outputs.model_outputs if run.outputs else []
        if model_id not in [output.model_id for output in known]:  # it takes no output twice
            self.client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])

    def _model_id(self, run_id: str, experiment_id: str) -> str | None:
        found = self.client.search_logged_models([experiment_id], f"source_run_id = '{run_id}' AND name = '{MODEL}'")
        return found[0].model_id if found else None

    def _experiment_id(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        place = None  # a server knows where
        if self.uri.startswith(SQLITE):
            database = Path(self.uri.removeprefix(SQLITE)).absolute()
            place = (database.parent / "artifacts" / name).as_uri()
        try:
            return str(self.client.create_experiment(name, place))
        except MlflowException as error:
            found = self.client.get_experiment_by_name(name)  # another run may have made it meanwhile
            if found is None:
                raise error
            return str(found.experiment_id)

    def _away(self, why: str) -> UnreachableError:
        return UnreachableError(
            f"{self.uri}: no tracking server: {why.splitlines()[0]}; start it (uv run mlflow server --host … --port …) "
            f"or unset MLFLOW_TRACKING_URI to keep runs in {DEFAULT_DATABASE}"
        )


def _alone_with(uri: str) -> AbstractContextManager[None]:
    """MLflow makes the tables of a new database with a client; two processes at once would trip each other up."""
    if not uri.startswith(SQLITE):
        return nullcontext()
    return held(Path(uri.removeprefix(SQLITE)).parent, wait=True)


def _quieten_mlflow() -> None:
    """It tells of every table of a new database, and of a pip that it does not find."""
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.utils.environment"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _pieces(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """itertools.batched, which Python 3.11 has not."""
    rest = iter(items)
    while piece := list(islice(rest, size)):
        yield piece


def _is_lasting(error: MlflowException | OSError) -> bool:
    """The same request would get the same answer again."""
    if isinstance(error, FileNotFoundError):
        return True
    if isinstance(error, MlflowException):
        status = error.get_http_status_code()
    else:
        status = getattr(getattr(error, "response", None), "status_code", 0)
    return 400 <= status < 500 and status not in PASSING_STATUS
