"""Which version of a registered model is in service: MLflow's aliases @champion, @challenger and @previous.

An alias moves in one step, several do not move together. So the moves are in an order in which whoever is killed
between two leaves @champion on one whole version, the old or the new, and the same call made again completes the rest.
"""

from typing import Annotated, NamedTuple

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from pydantic import Field

from training.tracking.asking import shown
from training.tracking.finding import CHECKPOINT
from training.tracking.sender import RefusedError
from training.tracking.server import Server, tracking_uri
from training.tracking.spool import TrackingError

__all__ = ["CHALLENGER", "CHAMPION", "PREVIOUS", "ModelName", "Registry", "Version"]

ModelName = Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=100)]
"""Of a registered model: also a folder's name, and part of a query."""
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
ROLLED_BACK, BATCH_ID, MADE_OF, DECISION = "rolled_back", "batch_id", "made_of", "decision"


class Version(NamedTuple):
    """Of a registered model; `run_id` is empty where it was registered by hand. `rolled_back` is whether it was the
    champion and was found wanting. Of one that a retraining made: its `batch_id`, and once it was compared with the
    champion, the `decision` as a sentence."""

    number: str
    run_id: str
    rolled_back: bool = False
    batch_id: str = ""
    decision: str = ""


class Registry:
    """One registered model of the store at MLFLOW_TRACKING_URI. Every method raises UnreachableError and TrackingError.

    One process at a time moves aliases: hold a lease (retraining.lease)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._server = Server(tracking_uri())
        self._server.check()
        self._client = self._server.client

    def version(self, alias: str) -> Version | None:
        """None where no version has that alias."""
        number = self._aliases().get(alias)
        return None if number is None else self._version(number)

    def made_of(self, digest: str) -> list[Version]:
        """The versions that challenged with this digest, and of which has been decided; the newest first."""
        where = f"name = '{self.name}' and tag.{MADE_OF} = '{digest}'"
        with self._server.asked():
            found = self._client.search_model_versions(where)
        versions = [_version(one) for one in sorted(found, key=lambda one: -int(one.version))]
        return [version for version in versions if version.decision]

    def challenge(self, run_id: str, batch_id: str = "", digest: str = "") -> Version:
        """Registers the model of a run where that has not happened, and makes it @challenger, with the batch that
        trained it and the `digest` of all that it was made of. Refuses runs that have not ended well, or lack the
        checkpoint by which find_models finds them."""
        with self._server.asked():
            status = self._client.get_run(run_id).info.status
            if status != "FINISHED":
                raise TrackingError(
                    f"run {run_id} is {status}: only a finished one can challenge; resume it, or send what it keeps "
                    "with jobs/sync_tracking.py"
                )
            folder = CHECKPOINT.rpartition("/")[0]
            if CHECKPOINT not in [file.path for file in self._client.list_artifacts(run_id, folder)]:
                raise TrackingError(f"run {run_id} has no {CHECKPOINT}, so nothing could be told of its network")
            try:
                number = self._server.register(run_id, self.name)
            except RefusedError as error:
                raise TrackingError(f"{shown(self._server.uri)}: {error}") from None
            for tag, value in ((BATCH_ID, batch_id), (MADE_OF, digest)):
                if value:
                    self._client.set_model_version_tag(self.name, number, tag, value)
            self._point(CHALLENGER, number)
        return self._version(number)

    def decide(self, challenger: str, sentence: str) -> None:
        """Notes what was decided on a version, and that it challenges no more."""
        aliases = self._aliases()
        with self._server.asked():
            self._client.set_model_version_tag(self.name, challenger, DECISION, sentence)
            if aliases.get(CHALLENGER) == challenger:
                self._client.delete_registered_model_alias(self.name, CHALLENGER)

    def promote(self, challenger: str, champion: str | None) -> None:
        """@champion goes to version `challenger`, and @previous to `champion`, the one that it was compared with.

        @previous moves first, @champion second, then @challenger goes. Killed before the second, the old champion has
        both aliases; after it, only @challenger is left to be removed. Refused where the aliases are on other
        versions than those that were compared; where `challenger` is the champion already, nothing is lost."""
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
        """@champion goes back to @previous: (the version that was the champion, the one that is).

        The failed version is marked, @champion moves, @previous goes, in this order: a second rollback finds none to go
        back to, and does not bring the failed one back."""
        failed, back = self.rollback_plan()
        with self._server.asked():
            self._client.set_model_version_tag(self.name, failed.number, ROLLED_BACK, "true")
            self._point(CHAMPION, back.number)
            self._client.delete_registered_model_alias(self.name, PREVIOUS)
        return failed, back

    def rollback_plan(self) -> tuple[Version, Version]:
        """What rollback would return; nothing is changed."""
        aliases = self._aliases()
        champion, previous = aliases.get(CHAMPION), aliases.get(PREVIOUS)
        if champion is None:
            raise TrackingError(
                f"{shown(self._server.uri)}: {self.name} has no @{CHAMPION}, so there is nothing to take back"
            )
        if previous in (None, champion):
            raise TrackingError(
                f"{shown(self._server.uri)}: {self.name} keeps no version as @{PREVIOUS} but the champion, version "
                f"{champion}; set @{CHAMPION} by hand to the one that you want"
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
        """All at one moment: the numbers of their versions."""
        with self._server.asked():
            try:
                found = self._client.get_registered_model(self.name).aliases
                return {alias: str(number) for alias, number in found.items()}  # a database says 1, a server "1"
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return {}

    def _version(self, number: str) -> Version:
        with self._server.asked():
            return _version(self._client.get_model_version(self.name, number))

    def _point(self, alias: str, number: str) -> None:
        self._client.set_registered_model_alias(self.name, alias, number)


def _version(found: ModelVersion) -> Version:
    tags = found.tags
    return Version(
        str(found.version), found.run_id or "", ROLLED_BACK in tags, tags.get(BATCH_ID, ""), tags.get(DECISION, "")
    )
