"""Trainings as victims: with MLflow's store as a file beside them, and with a tracking server."""

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import mlflow_store
from mlflow_server import MlflowServer
from proxied import Proxied
from running import Running, wait_until
from victims import Victim

__all__ = ["Grid", "TrainAtServer", "TrainClassifier", "TrainGan"]

JOBS = Path(__file__).parents[2] / "jobs"
ENDS = ("trainer -9", "trainer -15", "trainer -2")
OF_DISKS = ("full disk", "read-only folder", "two at once", "clock jump")


class TrainClassifier(Victim):
    """Resumed from its checkpoint it must have the weights of a training that nobody disturbed, bit for bit."""

    name = "train_classifier"
    faults: ClassVar[tuple[str, ...]] = (*ENDS, *OF_DISKS)
    repeats = True
    experiment: ClassVar[str] = "classifiers"
    job: ClassVar[str] = "train_classifier.py"
    settings: ClassVar[tuple[str, ...]] = ("epochs=15", "batch_size=8", "lr=0.003")

    def prepare(self) -> None:
        from small_runs import write_dataset  # here: imports torch

        if not (self.place.inputs / "small").exists():
            write_dataset(self.place.inputs / "small")

    def command(self) -> list[str]:
        return [
            sys.executable, str(JOBS / self.job), f"data.root={self.place.inputs / 'small'}", "data.size_px=8",
            "device=cpu", "checkpoint_every_steps=5", "resume=auto", "tracking.system_metrics_every_s=0",
            f"tracking.experiment={self.experiment}", *self.settings,
        ]  # fmt: skip

    @property
    def database(self) -> Path:
        return self.place.out / "mlruns" / "mlflow.db"

    def results(self) -> list[Any]:
        """The weights of each model, and the points of the curves of the run that it belongs to."""
        curves = {run.run_id: run.metrics for run in self.stored() if run.status == "FINISHED"}
        models = [self.read(path) for path in sorted(self.place.out.glob("data/runs/*/model.pt"))]
        return [[digest, curves[run_id]] for digest, run_id in models if run_id in curves]

    def stored(self) -> list[mlflow_store.StoredRun]:
        return mlflow_store.runs(self.database, self.experiment)

    def read(self, model: Path) -> tuple[str, str]:
        import torch  # here: the tests of this program need not wait for it

        from training.classifiers.trained import Classifier

        found = Classifier.read(model, torch.device("cpu"))
        return found.digest, found.about["run_id"]

    def afterwards(self) -> list[str]:
        return mlflow_store.open_runs(self.database)


class TrainGan(TrainClassifier):
    name = "train_gan"
    experiment = "gans"
    job = "train_gan.py"
    settings = ("gan=dcgan", "gan.channels=4", "epochs=10", "batch_size=16")

    def read(self, model: Path) -> tuple[str, str]:
        import torch

        from training.gans.trained import TrainedGan

        found = TrainedGan.read(model, torch.device("cpu"))
        return found.digest, found.about["run_id"]


class Grid(TrainClassifier):
    """Two recipes, trained one after the other and shown an attack; what is finished is not made again."""

    name = "run_grid"
    faults = (*ENDS, "full disk", "read-only folder", "two at once")
    repeats = False

    def command(self) -> list[str]:
        return [
            sys.executable, str(JOBS / "run_grid.py"), f"data.root={self.place.inputs / 'small'}", "grid.name=small",
            "grid.rows={plain: [], smooth: [label_smoothing=0.1]}", "seeds=[0]", "data.size_px=8", "epochs=6",
            "grid.attacks=[{attack: fgsm, snr_db: [33]}]", "device=cpu", "tracking.system_metrics_every_s=0",
        ]  # fmt: skip

    def results(self) -> list[Any]:
        """The table, once it is there, and the weights of all models."""
        import pyarrow.parquet as pq

        models = sorted(self.read(path)[0] for path in self.place.out.glob("data/grids/small/runs/*/model.pt"))
        tables = self.place.out.glob("data/grids/small/grid.parquet")
        return [[json.dumps(pq.read_table(path).to_pylist()), models] for path in tables]


class TrainAtServer(TrainClassifier):
    """Its tracking server is a process that can be killed, behind a proxy that can fail; what could not be sent is
    sent by jobs/sync_tracking.py, as the training tells its user."""

    name = "train_classifier at a server"
    faults: ClassVar[tuple[str, ...]] = (*ENDS, "server -9", "slow connection", "dropped connection")
    number = -1

    def prepare_again(self) -> None:
        folder = self.place.folder / "mlflow"
        folder.mkdir(exist_ok=True)
        self.server = MlflowServer(folder)
        self.server.start()
        self.proxy = Proxied(self.server.uri)

    def close(self) -> None:
        self.proxy.stop()
        self.server.kill()

    def begin(self, number: int) -> None:
        self.number = number

    def command(self) -> list[str]:
        return [*super().command(), f"tracking.experiment={self.experiment}-{self.number}"]

    def environment(self) -> dict[str, str]:
        return {"MLFLOW_TRACKING_URI": self.proxy.url}

    @property
    def database(self) -> Path:
        return self.place.folder / "mlflow" / "server.db"

    def stored(self) -> list[mlflow_store.StoredRun]:
        return mlflow_store.runs(self.database, f"{self.experiment}-{self.number}")

    def results(self) -> list[Any]:
        """After what was kept has been sent."""
        self.sync()
        return super().results()

    def afterwards(self) -> list[str]:
        return mlflow_store.open_runs(self.database, f"{self.experiment}-{self.number}")

    def sync(self) -> None:
        if not (self.place.out / "data" / "runs").exists():
            return
        command = [sys.executable, str(JOBS / "sync_tracking.py"), "runs_root=data/runs"]
        Running(self.place, command, self.place.work / "sync.log", self.environment()).end(300)

    def before_again(self) -> None:
        self.proxy.mend()
        if not wait_until(self.server.answers, 5):
            self.server.kill()
            self.server.start()

    def end(self) -> None:
        self.before_again()
