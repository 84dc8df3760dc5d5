"""Which version of a registered model is in service: MLflow's aliases @champion, @challenger and @previous.

A single alias moves atomically; several together do not. The order of the moves ensures that a process that is killed
between two of them leaves @champion on one complete version, the old or the new, and that repeating the call completes
the rest."""

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from pydantic import Field

from training.tracking.asking import shown
from training.tracking.finding import CHECKPOINT
from training.tracking.sender import RefusedError
from training.tracking.server import Server, tracking_uri
from training.tracking.spool import TrackingError

__all__ = ["CHALLENGER", "CHAMPION", "PREVIOUS", "SEED_RUNS", "ModelName", "Registry", "Version", "version_of"]

ModelName = Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=100)]
"""Names of registered models, which are also folder names and parts of a query."""
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
ROLLED_BACK, BATCH_ID, MADE_OF, DECISION = "rolled_back", "batch_id", "made_of", "decision"
SEED_RUNS = "seed_runs"
ACCURACY, SHA256 = "clean_accuracy", "decision_sha256"


class Version(NamedTuple):
    """A version of a registered model; `run_id` is empty if it was registered by hand. `rolled_back`: it was the
    champion and was rolled back. If a retraining made it: its `batch_id`, and the runs of all its seeds (`seed_runs`,
    its own one first). After the comparison with the champion: the `decision` as a sentence, the SHA-256 of its
    document, and `clean_accuracy` as text, with its interval; empty for versions that are older than these tags."""

    number: str
    run_id: str
    rolled_back: bool = False
    batch_id: str = ""
    decision: str = ""
    seed_runs: tuple[str, ...] = ()
    clean_accuracy: str = ""
    decision_sha256: str = ""


class Registry:
    """One registered model of the store at MLFLOW_TRACKING_URI. Every method raises UnreachableError and TrackingError.

    Only one process at a time may move aliases: hold a lease (retraining.lease)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._server = Server(tracking_uri())
        self._server.check()
        self._client = self._server.client

    def version(self, alias: str) -> Version | None:
        """The version, or None if no version has that alias."""
        number = self._aliases().get(alias)
        return None if number is None else self._version(number)

    def made_of(self, digest: str) -> list[Version]:
        """The versions that were challengers with this digest and for which there is a decision, latest first."""
        where = f"name = '{self.name}' and tag.{MADE_OF} = '{digest}'"
        with self._server.asked():
            found = self._client.search_model_versions(where)
        versions = [version_of(one) for one in sorted(found, key=lambda one: -int(one.version))]
        return [version for version in versions if version.decision]

    def challenge(self, run_id: str, batch_id: str = "", digest: str = "", seed_runs: Sequence[str] = ()) -> Version:
        """Registers the model of a run if it is not registered yet, and makes it @challenger, with the id of the batch
        that trained it, the `digest` of all its inputs, and the runs of all seeds. Refuses runs that did not finish
        successfully, or without the checkpoint by which find_models finds them."""
        with self._server.asked():
            status = self._client.get_run(run_id).info.status
            if status != "FINISHED":
                raise TrackingError(
                    f"run {run_id} is {status}: only a finished run can become the challenger; resume it, or send its "
                    "events with jobs/sync_tracking.py"
                )
            folder = CHECKPOINT.rpartition("/")[0]
            if CHECKPOINT not in [file.path for file in self._client.list_artifacts(run_id, folder)]:
                raise TrackingError(f"run {run_id} has no {CHECKPOINT}, so its network cannot be compared")
            try:
                number = self._server.register(run_id, self.name)
            except RefusedError as error:
                raise TrackingError(f"{shown(self._server.uri)}: {error}") from None
            self._tag(number, {BATCH_ID: batch_id, MADE_OF: digest, SEED_RUNS: " ".join(seed_runs)})
            self._point(CHALLENGER, number)
        return self._version(number)

    def decide(
        self, challenger: str, sentence: str, *, clean_accuracy: str = "", sha256: str = "", description: str = ""
    ) -> None:
        """Records the decision on a version, in its tags and its description, and removes @challenger from it."""
        aliases = self._aliases()
        with self._server.asked():
            if description:
                self._client.update_model_version(self.name, challenger, description)
            self._tag(challenger, {ACCURACY: clean_accuracy, SHA256: sha256, DECISION: sentence})
            if aliases.get(CHALLENGER) == challenger:
                self._client.delete_registered_model_alias(self.name, CHALLENGER)

    def promote(self, challenger: str, champion: str | None) -> None:
        """Moves @champion to version `challenger`, and @previous to `champion`, the version that it was compared with.

        @previous moves first, @champion second, then @challenger is removed. If killed before the second move, the old
        champion has both aliases; after it, only @challenger remains to be removed. Refused if the aliases are on other
        versions than those that were compared. If `challenger` is already the champion, nothing is lost."""
        aliases = self._aliases()
        with self._server.asked():
            if aliases.get(CHAMPION) != challenger:
                self._check_unmoved(aliases, challenger, champion)
                if champion is not None:
                    self._point(PREVIOUS, champion)
                self._point(CHAMPION, challenger)
            if aliases.get(CHALLENGER) == challenger:
                self._client.delete_registered_model_alias(self.name, CHALLENGER)

    def rollback(self) -> tuple[Version, Version]:
        """Moves @champion back to @previous. Returns (the version that was the champion, the one that is now).

        The failed version is marked, @champion moves, @previous is removed, in this order: a second rollback has no
        target, and does not bring the failed version back."""
        failed, back = self.rollback_plan()
        with self._server.asked():
            self._client.set_model_version_tag(self.name, failed.number, ROLLED_BACK, "true")
            self._point(CHAMPION, back.number)
            self._client.delete_registered_model_alias(self.name, PREVIOUS)
        return failed, back

    def rollback_plan(self) -> tuple[Version, Version]:
        """What rollback would return; changes nothing."""
        aliases = self._aliases()
        champion, previous = aliases.get(CHAMPION), aliases.get(PREVIOUS)
        if champion is None:
            raise TrackingError(
                f"{shown(self._server.uri)}: {self.name} has no @{CHAMPION}, so there is nothing to roll back"
            )
        if previous in (None, champion):
            raise TrackingError(
                f"{shown(self._server.uri)}: {self.name} has no @{PREVIOUS} other than the champion, version "
                f"{champion}; set @{CHAMPION} by hand to the version that you want"
            )
        return self._version(champion), self._version(previous)

    def _check_unmoved(self, aliases: dict[str, str], challenger: str, champion: str | None) -> None:
        for alias, expected in ((CHAMPION, champion), (CHALLENGER, challenger)):
            found = aliases.get(alias)
            if found != expected:
                raise TrackingError(
                    f"{shown(self._server.uri)}: @{alias} of {self.name} is on version {found or 'none'}, not on "
                    f"{expected or 'none'}, which was compared; compare again"
                )

    def _aliases(self) -> dict[str, str]:
        """The version numbers of all aliases at one moment."""
        with self._server.asked():
            try:
                found = self._client.get_registered_model(self.name).aliases
                return {alias: str(number) for alias, number in found.items()}  # a database returns 1, a server "1"
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return {}

    def _version(self, number: str) -> Version:
        with self._server.asked():
            return version_of(self._client.get_model_version(self.name, number))

    def _tag(self, number: str, tags: Mapping[str, str]) -> None:
        """In this order; empty values are left out."""
        for tag, value in tags.items():
            if value:
                self._client.set_model_version_tag(self.name, number, tag, value)

    def _point(self, alias: str, number: str) -> None:
        self._client.set_registered_model_alias(self.name, alias, number)


def version_of(found: ModelVersion) -> Version:
    """MLflow's version with the tags of this registry."""
    tags = found.tags
    return Version(
        str(found.version), found.run_id or "", ROLLED_BACK in tags, tags.get(BATCH_ID, ""), tags.get(DECISION, ""),
        tuple(tags.get(SEED_RUNS, "").split()), tags.get(ACCURACY, ""), tags.get(SHA256, ""),
    )  # fmt: skip
