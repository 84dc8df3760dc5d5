"""An MLflow store, accessed by an MlflowClient and explicit ids: no active run, no global tracking URI."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import Experiment, LoggedModelOutput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.rest_utils import http_request

from training.tracking.asking import STORE_ERRORS, UnknownError, asking, is_lasting, shown, unreachable
from training.tracking.database import DEFAULT_DATABASE, database_of, prepare, uri_of
from training.tracking.datasets import DatasetUsed
from training.tracking.sender import RefusedError
from training.tracking.spool import Event, Spool, TrackingError

__all__ = ["MODEL", "Server", "local_path", "tracking_uri"]

Item = TypeVar("Item")

MODEL = "model"
REQUEST = "request"
"""The tag by which a run is found again whose id never arrived."""
CHECK_TIMEOUT_S = 3
METRICS_PER_CALL, PARAMS_PER_CALL = 1000, 100
LONGEST_TAG = 8000


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or a database in mlruns/ of the working folder. Raises TrackingError if the name of that
    folder cannot be part of a URI."""
    return os.environ.get("MLFLOW_TRACKING_URI") or uri_of(DEFAULT_DATABASE.absolute())


class Server:
    """The Receiver of the events of a spool."""

    def __init__(self, uri: str) -> None:
        """Does not contact a server yet; creates a database if there is none. Raises TrackingError."""
        self.uri = uri
        self.database = database_of(uri)
        _quieten_mlflow()
        with self.asked():
            if self.database is not None:
                prepare(self.database, _make_database)
            self.client = MlflowClient(uri)

    def check(self) -> None:
        if not self.uri.startswith(("http://", "https://")):
            return
        try:
            answer = http_request(
                get_default_host_creds(self.uri), "/health", "GET",
                max_retries=0, timeout=CHECK_TIMEOUT_S, raise_on_status=False,
            )  # fmt: skip
        except MlflowException:
            raise unreachable(self.uri, "no answer") from None
        if answer.status_code >= 500:
            raise unreachable(self.uri, f"status {answer.status_code}")

    def create_run(self, experiment: str, name: str, request: str = "") -> Run:
        """A new run, which `requested` finds by the id `request`. Raises UnreachableError, TrackingError."""
        self.check()
        tags = {REQUEST: request} if request else {}
        with self.asked():
            return self.client.create_run(self._experiment_id(experiment), run_name=name, tags=tags)

    def requested(self, experiment: str, request: str) -> str | None:
        """The id of the run that was created with this request and has not ended. Raises UnreachableError,
        TrackingError."""
        self.check()
        with self.asked():
            where = f"tags.{REQUEST} = '{request}' and attributes.status = 'RUNNING'"
            found = self.client.search_runs([self._experiment_id(experiment)], where)
        return str(found[0].info.run_id) if found else None

    def run(self, run_id: str) -> Run:
        """The run. Raises UnreachableError, UnknownError if it does not exist, TrackingError."""
        self.check()
        try:
            with self.asked():
                return self.client.get_run(run_id)
        except UnknownError:
            raise UnknownError(f"{shown(self.uri)}: knows no run {run_id}; is MLFLOW_TRACKING_URI its store?") from None

    def experiment(self, name: str) -> Experiment | None:
        """The experiment, or None if there is none. Raises TrackingError if it was deleted."""
        found = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage != "active":
            raise TrackingError(
                f"{shown(self.uri)}: the experiment {name} was deleted; restore it with MLFLOW_TRACKING_URI="
                f"{shown(self.uri)} uv run mlflow experiments restore --experiment-id {found.experiment_id}, or set "
                "another tracking.experiment"
            )
        return found

    def register(self, run_id: str, name: str) -> str:
        """The version of the registered model `name` that holds the model of the run; created if there is none. Raises
        RefusedError if the run has no model, and STORE_ERRORS."""
        model_id = self._model_id(run_id, self.client.get_run(run_id).info.experiment_id)
        if model_id is None:
            raise RefusedError(f"run {run_id} has logged no model to register as {name}")
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

    def asked(self) -> AbstractContextManager[None]:
        """asking.asking for this store."""
        return asking(self.uri)

    def take(self, events: Sequence[Event], spool: Path) -> None:
        try:
            if events[0]["do"] == "metrics":
                self._take_metrics(events)
            else:
                self._take_one(events[0], spool)
        except STORE_ERRORS as error:
            if is_lasting(error):
                raise RefusedError(str(error)) from error
            with self.asked():
                raise
        except (KeyError, TypeError, AttributeError) as error:
            raise RefusedError(f"not an event of this version ({type(error).__name__}: {error})") from None

    def _take_metrics(self, events: Sequence[Event]) -> None:
        """MLflow ignores a metric whose key, step, time and value it already has."""
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
                self.client.log_artifact(run_id, str(_kept(spool, event)), event["folder"] or None)
            case "model":
                self._take_model(run_id, _kept(spool, event))
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
        if model_id not in [output.model_id for output in known]:  # it rejects duplicate outputs
            self.client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])

    def _model_id(self, run_id: str, experiment_id: str) -> str | None:
        found = self.client.search_logged_models([experiment_id], f"source_run_id = '{run_id}' AND name = '{MODEL}'")
        return found[0].model_id if found else None

    def _experiment_id(self, name: str) -> str:
        found = self.experiment(name)
        if found is not None:
            self._warn_of_another_place(found)
            return str(found.experiment_id)
        place = None if self.database is None else self._place_of(name)  # a server chooses the location
        try:
            return str(self.client.create_experiment(name, place))
        except MlflowException as error:
            found = self.experiment(name)  # another run may have created it in the meantime
            if found is None:
                raise error
            return str(found.experiment_id)

    def _place_of(self, experiment: str) -> str:
        assert self.database is not None
        root = self.database.parent / "artifacts"
        place = root / experiment
        if not place.resolve().is_relative_to(root.resolve()) or place.resolve() == root.resolve():
            raise TrackingError(f"tracking.experiment={experiment}: leads out of {root}; use a name without .. or /")
        return place.as_uri()

    def _warn_of_another_place(self, experiment: Experiment) -> None:
        place = local_path(experiment.artifact_location)
        if self.database is None or place is None or place.is_relative_to(self.database.parent):
            return
        there = "" if place.exists() else ", which does not exist (was the project's folder moved or copied?)"
        logging.getLogger(__name__).warning(
            "warning: the experiment %s of %s keeps its files outside, in %s%s", experiment.name, self.uri, place, there
        )


def local_path(artifact_uri: str) -> Path | None:
    """The local path, or None if the files are on a server or in a bucket."""
    if (not artifact_uri.startswith("file:") and "://" in artifact_uri) or artifact_uri.startswith("mlflow-artifacts:"):
        return None
    return Path(local_file_uri_to_path(artifact_uri))


def _kept(spool: Path, event: Event) -> Path:
    try:
        return Spool(spool).kept(event)
    except TrackingError as error:
        raise RefusedError(str(error)) from None


def _make_database(path: Path) -> None:
    MlflowClient(uri_of(path))


def _quieten_mlflow() -> None:
    """Silences its messages about every table of a new database, and about a missing pip."""
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.utils.environment"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _pieces(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """itertools.batched, which Python 3.11 does not have."""
    rest = iter(items)
    while piece := list(islice(rest, size)):
        yield piece
