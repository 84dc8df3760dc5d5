"""A run from start to end: everything goes through its spool, and nothing waits for the server."""

import contextlib
import json
import logging
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException
from pydantic import Field

from pipelines.settings import Settings
from pipelines.store.remote_copy import shown
from training.tracking.asking import UnknownError
from training.tracking.datasets import DatasetUsed
from training.tracking.registry import ModelName
from training.tracking.sampling import sampled
from training.tracking.sender import Sender, UnreachableError
from training.tracking.server import MODEL, Server, tracking_uri
from training.tracking.spool import Spool, TrackingError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["RunStoppedError", "TrackedRun", "Tracking", "end_run", "reopened_run", "tracked_run"]

PATIENCE_S = 30.0
"""Seconds that the end of a run waits for a server that answers but accepts nothing."""
DESCRIPTION = "mlflow.note.content"
LONGEST_KEY, LONGEST_VALUE = 250, 6000
"""The maximum length of an MLflow parameter."""


class Tracking(Settings):
    """`register_as`: a run that finishes successfully registers its model under this name. `system_metrics_every_s`: 0
    for no system metrics. `name` stands at the beginning of the run's name; None: that of the network. `notes`, in
    Markdown, begin the run's description. `batch_id`, that of the retraining that the run is a step of, becomes a
    tag."""

    experiment: str = Field(default="classifiers", min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")
    register_as: ModelName | None = None
    system_metrics_every_s: float = Field(default=10.0, ge=0)
    name: str | None = Field(default=None, pattern=r"^\w[\w.+-]{0,79}$")
    notes: str = ""
    batch_id: str | None = None


class RunStoppedError(Exception):
    """Ends a run early, on purpose."""


class TrackedRun:
    """Events are on disk when a method returns; they are sent when the server is reachable."""

    def __init__(self, run_id: str, spool: Spool) -> None:
        self.run_id = run_id
        self._spool = spool

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Other characters of names than MLflow takes become _ (`taken_by_mlflow`). A step may be repeated, for example
        after a resume."""
        values = {taken_by_mlflow(name): float(value) for name, value in metrics.items()}
        self._tell("metrics", metrics=values, step=step, at_ms=_now_ms())

    def log_file(self, path: Path, folder: str = "") -> None:
        """Logs the current content of the file as the artefact folder/name; an existing one is replaced."""
        self._tell("file", file=self._spool.keep(path), folder=folder)

    def log_json(self, name: str, content: Any) -> None:
        self._tell(
            "file", file=self._spool.keep_text(name, json.dumps(content, indent=2, default=str) + "\n"), folder=""
        )

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self._tell("tags", tags={name: str(value) for name, value in tags.items()})

    def describe(self, text: str) -> None:
        """Replaces the description that MLflow shows above everything else of the run; `text` is Markdown."""
        self.set_tags({DESCRIPTION: text})

    def log_model(
        self, network: "nn.Module", images: "torch.Tensor", class_names: Sequence[str] = (), geometry: str = ""
    ) -> None:
        """Logs the network with MLflow's flavour `pytorch`, format pt2: a graph that loads without this project's code
        and without a pickle: (N, 3, S, S) float32 in [0, 1] → logits (N, classes), any N. With `class_names` its
        flavour `python_function` takes uint8 images of any size, which `geometry` makes square, and gives names and
        probabilities. The first images are its input example."""
        place = self._spool.new_place() / MODEL
        from training.tracking.saving import save_model  # here: sync_tracking need not spend seconds on importing torch

        try:
            save_model(network, images, place, class_names, geometry)
        except (OSError, RuntimeError, MlflowException) as error:  # torch turns a full disk into a RuntimeError
            raise TrackingError(f"{place}: the model cannot be written ({error}); make room") from None
        self._tell("model", file=place.relative_to(self._spool.folder).as_posix())

    def _begin(self, settings: Mapping[str, Any], datasets: Sequence[DatasetUsed]) -> None:
        self._tell("params", params=flattened(settings))
        self._tell("datasets", datasets=[used._asdict() for used in datasets])

    def _tell(self, do: str, **event: Any) -> None:
        self._spool.append(do=do, run_id=self.run_id, **event)


@contextlib.contextmanager
def tracked_run(
    tracking: Tracking, folder: Path, name: str, settings: Mapping[str, Any], command: str,
    datasets: Sequence[DatasetUsed], facts: Mapping[str, str], run_id: str | None = None,
) -> Iterator[TrackedRun]:  # fmt: skip
    """A new run, or with `run_id` that run resumed; FINISHED at the end of the block, FAILED if it raises, KILLED by
    Ctrl-C and RunStoppedError. `folder` is that of the run; the spool is folder/tracking.

    Parameters and datasets are those of the start. A new run needs the server (UnreachableError if it cannot be
    reached); a resumed one does not. Raises TrackingError."""
    with _recorded(folder, tracking.experiment, name, run_id) as run:
        if run_id is None:
            run._begin(settings, datasets)
        else:
            run._tell("status", status="RUNNING", at_ms=_now_ms())
        of_batch = {"batch_id": tracking.batch_id} if tracking.batch_id else {}
        run.set_tags({**facts, **of_batch, "command": command})
        if run_id is None and tracking.notes:
            run.describe(tracking.notes)
        run.log_json("settings.json", settings)
        status = "FAILED"
        try:
            with sampled(run.log_metrics, tracking.system_metrics_every_s):
                yield run
            status = "FINISHED"
        except (KeyboardInterrupt, RunStoppedError):
            status = "KILLED"
            raise
        finally:
            if status == "FINISHED" and tracking.register_as is not None:
                run._tell("register", name=tracking.register_as)
            run._tell("status", status=status, at_ms=_now_ms())


@contextlib.contextmanager
def reopened_run(folder: Path, run_id: str) -> Iterator[TrackedRun]:
    """A run that has ended, reopened to add to it: its status and times do not change. `folder` is that of the caller,
    not that of the run.

    Raises TrackingError."""
    with _recorded(folder, "", "", run_id) as run:
        yield run


def end_run(run_id: str) -> None:
    """Sets a run whose process was killed, and that is still RUNNING, to KILLED. It can still be resumed. A run that
    was deleted, or is in another store, is left alone. Raises UnreachableError, TrackingError."""
    server = Server(tracking_uri())
    try:
        info = server.run(run_id).info
    except UnknownError:
        return
    if (info.status, info.lifecycle_stage) == ("RUNNING", "active"):
        with server.asked():
            server.client.set_terminated(run_id, "KILLED")


@contextlib.contextmanager
def _recorded(folder: Path, experiment: str, name: str, run_id: str | None) -> Iterator[TrackedRun]:
    """The run, with its spool open and its sender started."""
    with Spool.opened(folder / "tracking") as spool:
        uri = tracking_uri()
        if spool.unsent() and spool.about.get("uri") != uri:
            raise TrackingError(
                f"{spool.name}: holds events for {spool.about.get('uri')}, but MLFLOW_TRACKING_URI is now {uri}; send "
                f"them first: {sync_command(folder)}"
            )
        server = Server(uri)
        if run_id:
            spool.about = {"uri": uri, "run_id": _known(server, run_id)}
        else:
            run_id = _created(server, spool, experiment, name)
        sender = Sender(spool, server)
        sender.start()
        try:
            yield TrackedRun(run_id, spool)
        finally:
            sender.close(PATIENCE_S)
            _warn(sender, spool, folder)


def _created(server: Server, spool: Spool, experiment: str, name: str) -> str:
    """A new run, or the one that an earlier process has requested for this folder and never knew: it was killed, or the
    answer was lost. Otherwise that run would be RUNNING for ever."""
    before = spool.about
    known = before.get("uri") == server.uri and "request" in before
    run_id = server.requested(experiment, before["request"]) if known else None
    about = {"uri": server.uri, "request": before["request"] if run_id else uuid.uuid4().hex}
    if run_id is None:
        spool.about = {**about, "run_id": before.get("run_id", "")}
        run_id = server.create_run(experiment, name, about["request"]).info.run_id
    spool.about = {**about, "run_id": run_id}
    return run_id


def _known(server: Server, run_id: str) -> str:
    with contextlib.suppress(UnreachableError):
        server.run(run_id)
    return run_id


def _warn(sender: Sender, spool: Spool, folder: Path) -> None:
    log = logging.getLogger(__name__)
    if unsent := spool.unsent():
        log.warning(
            "warning: the tracking server is unreachable; %d events of this run are in %s. Send them later with: %s",
            unsent, spool.name, sync_command(folder),
        )  # fmt: skip
    if sender.refused:
        log.warning(
            "warning: the tracking server rejected %d events, the first: %s", len(sender.refused), sender.refused[0]
        )


def sync_command(folder: Path) -> str:
    return f"uv run python jobs/sync_tracking.py runs_root={shown(folder)}"


def taken_by_mlflow(name: str) -> str:
    """The name of a parameter or metric in MLflow, which takes letters, digits and / - _ . : and space: adv+psv, a row
    of a grid, is adv_psv there."""
    return re.sub(r"[^\w/\-. :]", "_", name)


def flattened(settings: Mapping[str, Any], within: str = "") -> dict[str, str]:
    """{"data": {"mixture": {"clean": 1.0}}} → {"data.mixture.clean": "1.0"}, values as JSON (text without quotes).

    Values that are too long for MLflow are cut, characters of keys that it does not take become _, and keys that are
    too long are omitted; the artefact settings.json is complete."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat.update(flattened(value, f"{within}{key}."))
        elif len(within + key) <= LONGEST_KEY:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            cut = text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
            flat[taken_by_mlflow(within + key)] = cut
    return flat


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
