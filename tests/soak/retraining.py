"""Retrainings as victims: a champion serves, and a challenger that is worse or better is trained beside it."""

import json
from pathlib import Path
from typing import Any, ClassVar

import mlflow_store
import retrainings
from running import Running
from victims import Victim

from pipelines.datasets import SyntheticSigns

__all__ = ["Better", "Worse"]

LEASE_S = 20
LEASE = f"lease_s={LEASE_S}"
"""Longer than in other tests: what is lost on a busy machine without any fault says nothing."""


class Worse(Victim):
    """The champion stays. The working folder has a champion already; its store names files of this path, which is why
    all faults happen in the same folder."""

    name = "retrain (worse)"
    faults: ClassVar[tuple[str, ...]] = (
        "batch -9", "batch -15", "batch -2", "step -9", "step -15", "full disk", "read-only folder", "two at once",
        "clock jump",
    )  # fmt: skip
    epochs: ClassVar[int] = 1
    champion: ClassVar[str] = "1"

    @property
    def service(self) -> retrainings.Place:
        return retrainings.Place(self.place.out, self.place.inputs / "signs-of-43-classes")

    def prepare(self) -> None:
        SyntheticSigns(root=self.service.raw, test_images_per_class=4).ensure()
        command = self.service.command(LEASE, epochs=4)
        job = Running(self.place, command, self.place.work / "champion.log", self.environment())
        assert job.end(retrainings.LONGEST_S * 3) == 0, job.said()

    def command(self) -> list[str]:
        return self.service.command(LEASE, epochs=self.epochs)

    def environment(self) -> dict[str, str]:
        return {name: value for name, value in self.service.environment().items() if name.startswith("MLFLOW")}

    @property
    def database(self) -> Path:
        return self.place.out / "mlruns" / "mlflow.db"

    def results(self) -> list[Any]:
        """Who serves, and what was decided, from how many trainings."""
        decisions = [
            json.loads(path.read_text())["verdict"]
            for path in sorted(self.place.out.glob("data/retraining/roadsign/*/decision.json"))
        ]
        if len(decisions) < 2:
            return []
        trained = sorted(run.metrics for run in mlflow_store.runs(self.database, "classifiers"))
        return [[mlflow_store.aliases(self.database), sorted(decisions), trained]]

    def broken(self) -> list[str]:
        """A worse champion than before, or none."""
        served = mlflow_store.aliases(self.database).get("roadsign@champion")
        return [] if served in ("1", self.champion) else [f"version {served} is the champion"]

    def before_again(self) -> None:
        """The lease of a batch that was killed."""
        retrainings.expired(LEASE_S + 1)

    def afterwards(self) -> list[str]:
        return mlflow_store.open_runs(self.database)


class Better(Worse):
    """The challenger becomes the champion, and the champion the previous one, whatever happens on the way."""

    name = "retrain (better)"
    epochs = 12
    champion = "2"
