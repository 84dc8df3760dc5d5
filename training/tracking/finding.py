"""Finds trained models by reference: latest, a run, a registered name, a file."""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from pipelines.places import is_remote
from pipelines.store.remote_copy import fetched
from training.tracking.asking import shown
from training.tracking.server import Server, local_path, tracking_uri
from training.tracking.spool import TrackingError

__all__ = ["CHECKPOINT", "FoundModel", "find_file", "find_models"]

CHECKPOINT = "checkpoint/model.pt"
"""The artefact path of the file that Classifier.write makes: log_file(path, "checkpoint")."""
REGISTERED = "models:/"
RUNS_LISTED = 10
FILES = (".pt", ".pt2", ".onnx")
RUN_FOLDER = re.compile(r"\d{8}-\d{6}(?:\.\d+)?-(.+)-[0-9a-f]{6}")
"""As training.loop.run_folder names them; the group is the name of the run."""
NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


class _NotThereError(Exception):
    """The store answers, but has no such model."""


class FoundModel(NamedTuple):
    reference: str
    name: str
    run_id: str | None
    path: Path
    """The path of the file that Classifier.write made, or of one from outside."""


def find_models(
    references: Sequence[str], experiment: str = "classifiers", folder: Path | None = None
) -> list[FoundModel]:
    """A reference is `latest` (of the FINISHED runs of the experiment that have a checkpoint, the one that ended last),
    a run id, `models:/name@alias`, `models:/name/version`, or the path or s3:// URL of a checkpoint.
    The model.pt of a run folder has the name of its run, any other file its own.

    Checkpoints are downloaded to `folder`, by default a new temporary one. Raises TrackingError, which lists the
    available models, and UnreachableError."""
    store: _Store | None = None
    found = []
    for reference in references:
        path = fetched(reference) if is_remote(reference) else Path(reference)
        if reference and _is(path, Path.is_file):
            found.append(FoundModel(reference, _name(path), None, path))
            continue
        if path.suffix in FILES or (reference and _is(path, Path.is_dir)):
            raise TrackingError(
                f"{reference}: no such file; use a checkpoint (<run folder>/model.pt), a run id, latest or "
                "models:/name@alias"
            )
        store = store or _Store(experiment)
        found.append(store.fetch(reference, folder or Path(tempfile.mkdtemp(prefix="roadsign-models-"))))
    return found


def find_file(run_id: str, name: str, folder: Path) -> Path | None:
    """An artefact of a run, downloaded to `folder`; None if the run has none of that name. Raises TrackingError and
    UnreachableError."""
    server = Server(tracking_uri())
    server.check()
    with server.asked():
        there = server.client.list_artifacts(run_id, name.rpartition("/")[0] or None)
        if name not in [file.path for file in there]:
            return None
        return Path(server.client.download_artifacts(run_id, name, str(folder)))


def _name(file: Path) -> str:
    """The run's name for the model in a run folder, else the file's own."""
    folder = RUN_FOLDER.fullmatch(file.absolute().parent.name)
    return folder[1] if folder and file.name == Path(CHECKPOINT).name else file.stem


def _is(path: Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(path)
    except (OSError, ValueError):  # too long for a path, or with an invalid character
        return False


class _Store:
    """The tracking store, as a source of one experiment's runs and of registered models."""

    def __init__(self, experiment: str) -> None:
        self._experiment = experiment
        self._server = Server(tracking_uri())
        self._server.check()
        self._client = self._server.client

    def fetch(self, reference: str, folder: Path) -> FoundModel:
        with self._server.asked():
            try:
                run = self._run(reference)
                place = folder / run.info.run_id
                place.mkdir(parents=True, exist_ok=True)
                path = Path(self._checkpoint(run, place))
            except (_NotThereError, MlflowException) as error:
                if isinstance(error, MlflowException) and error.error_code not in NOT_THERE:
                    raise
                why = str(error).splitlines()[0]
                raise TrackingError(
                    f"{reference}: not found in {shown(self._server.uri)} ({why})\n{self._what_there_is()}"
                ) from None
        return FoundModel(reference, run.info.run_name, run.info.run_id, path)

    def _run(self, reference: str) -> Run:
        if reference == "latest":
            return self._latest()
        if reference.startswith(REGISTERED):
            return self._client.get_run(self._version(reference).run_id or "")
        return self._client.get_run(reference)

    def _checkpoint(self, run: Run, place: Path) -> str:
        """Raises _NotThereError."""
        try:
            return self._client.download_artifacts(run.info.run_id, CHECKPOINT, str(place))
        except (MlflowException, OSError) as error:
            if lost := _lost(run):
                raise _NotThereError(_moved([lost])) from None
            if isinstance(error, FileNotFoundError) or local_path(run.info.artifact_uri):
                raise _NotThereError(f"run {run.info.run_id} has no {CHECKPOINT}") from None
            raise

    def _version(self, reference: str) -> ModelVersion:
        name, at, alias = reference.removeprefix(REGISTERED).partition("@")
        if at:
            return self._client.get_model_version_by_alias(name, alias)
        name, _, version = name.rpartition("/")
        return self._client.get_model_version(name, version)

    def _latest(self) -> Run:
        folder, lost = CHECKPOINT.rpartition("/")[0], []
        for run in self._runs("attributes.status = 'FINISHED'", "attributes.end_time DESC"):
            if any(file.path == CHECKPOINT for file in self._client.list_artifacts(run.info.run_id, folder)):
                return run
            lost += [place] if (place := _lost(run)) else []
        raise _NotThereError(
            f"no finished run of experiment {self._experiment} has a {CHECKPOINT}"
            + (f"; {_moved(lost)}" if lost else "")
        )

    def _runs(self, which: str, order: str) -> Iterator[Run]:
        experiment = self._server.experiment(self._experiment)
        token = None
        while experiment is not None:
            page = self._client.search_runs(
                [experiment.experiment_id], which, order_by=[order], max_results=RUNS_LISTED, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _what_there_is(self) -> str:
        runs = [
            f"  {run.info.run_id}  {run.info.run_name}  {run.info.status}"
            for run in islice(self._runs("", "attributes.start_time DESC"), RUNS_LISTED)
        ]
        models = [
            "  " + ", ".join(f"{REGISTERED}{model.name}{which}" for which in _versions(model))
            for model in self._client.search_registered_models(max_results=100)
        ]
        return "\n".join([
            f"the latest runs of experiment {self._experiment}:",
            *(runs or ["  none; jobs/train_classifier.py and jobs/train_gan.py make them"]),
            "registered models:", *(models or ["  none"]),
        ])  # fmt: skip


def _versions(model: RegisteredModel) -> list[str]:
    versions = sorted({int(version.version) for version in model.latest_versions})
    return [*(f"/{version}" for version in versions), *(f"@{alias}" for alias in sorted(model.aliases))]


def _lost(run: Run) -> Path | None:
    """Where the files of the run should be, if this folder does not exist."""
    place = local_path(run.info.artifact_uri)
    return None if place is None or place.is_dir() else place


def _moved(places: Sequence[Path]) -> str:
    """A message that names the outermost missing folder."""
    missing = next(folder for folder in (*reversed(places[0].parents), places[0]) if not folder.exists())
    return (
        f"{len(places)} runs keep files in {missing}, which does not exist: it was moved or removed; move it back, "
        f"or link it: ln -s <where it is now> {missing}"
    )
