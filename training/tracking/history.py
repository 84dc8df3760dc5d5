"""What the store knows of a run's past and future: the datasets that it used, and what became of its model."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from mlflow.entities import Dataset, Run
from mlflow.entities.model_registry import ModelVersion

from training.tracking.asking import UnknownError
from training.tracking.registry import SEED_RUNS, Version, version_of
from training.tracking.server import Server, tracking_uri

__all__ = ["History", "RecordedRun", "Registered", "UsedVariant"]

CONTEXT = "mlflow.data.context"


class UsedVariant(NamedTuple):
    """One split of one variant as runs.tracked_run recorded it; see datasets.DatasetUsed. `source_digest` is that of
    the raw images, "" if it was not recorded."""

    variant: str
    context: str
    digest: str
    folder: str
    source_digest: str


class RecordedRun(NamedTuple):
    """`code` and `command` are "" for runs that did not record them."""

    run_id: str
    name: str
    status: str
    code: str
    command: str
    datasets: tuple[UsedVariant, ...]


class Registered(NamedTuple):
    """A version of a registered model and the aliases that it has now."""

    model: str
    version: Version
    aliases: tuple[str, ...]

    @property
    def reference(self) -> str:
        return f"models:/{self.model}/{self.version.number}"


class History:
    """The store at MLFLOW_TRACKING_URI. Every method raises UnreachableError and TrackingError."""

    def __init__(self) -> None:
        self._server = Server(tracking_uri())
        self._server.check()
        self._client = self._server.client

    def run(self, run_id: str) -> RecordedRun | None:
        """None if the store does not know it."""
        try:
            found = self._server.run(run_id)
        except UnknownError:
            return None
        tags = found.data.tags
        return RecordedRun(
            run_id, found.info.run_name, found.info.status, tags.get("code", ""), tags.get("command", ""),
            tuple(_datasets(found)),
        )  # fmt: skip

    def versions(self, run_id: str) -> list[Registered]:
        """The versions whose network, or one of whose seeds, this run trained; by name and number."""
        with self._server.asked():
            own = self._client.search_model_versions(f"run_id = '{run_id}'")
            seeds = self._client.search_model_versions(f"tag.{SEED_RUNS} LIKE '%{run_id}%'")
            found = {(one.name, int(one.version)): one for one in (*own, *seeds)}
            return [self._registered(found[key]) for key in sorted(found)]

    def tagged(self, experiment: str, tag: str, value: str) -> str | None:
        """The id of the latest run of the experiment with this tag, or None."""
        with self._server.asked():
            there = self._server.experiment(experiment)
            if there is None:
                return None
            runs = self._client.search_runs([there.experiment_id], f"tags.{tag} = '{value}'", max_results=1)
            return str(runs[0].info.run_id) if runs else None

    def _registered(self, found: ModelVersion) -> Registered:
        aliases = self._client.get_registered_model(found.name).aliases
        own = sorted(alias for alias, number in aliases.items() if str(number) == str(found.version))
        return Registered(found.name, version_of(found), tuple(own))


def _datasets(run: Run) -> Iterable[UsedVariant]:
    for used in run.inputs.dataset_inputs if run.inputs else ():
        source = _json(used.dataset, "source")
        facts = {**_json(used.dataset, "schema"), **_json(used.dataset, "profile")}  # older versions: in the schema
        context = next((tag.value for tag in used.tags if tag.key == CONTEXT), "")
        yield UsedVariant(
            str(facts.get("variant", used.dataset.name)), context,
            str(source.get("content_digest", used.dataset.digest)), str(source.get("uri", "")),
            str(facts.get("source_digest") or ""),
        )  # fmt: skip


def _json(dataset: Dataset, name: str) -> dict[str, Any]:
    """Empty for datasets that another program recorded."""
    try:
        found = json.loads(getattr(dataset, name) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
