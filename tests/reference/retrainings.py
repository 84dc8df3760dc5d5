"""Runs jobs/retrain.py as a separate process on synthetic signs, so small that a batch takes less than a minute."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run
from standalone import environment

JOB = Path(__file__).parents[2] / "jobs" / "retrain.py"
SMALL = (
    "size_px=28", 'datasets=["variants=[clean,gaussian-max]", "images_per_part=400"]',
    'attacks=[["attack=fgsm", "snr_db=[33]"]]', "device=cpu", "lease_s=5",
    "seeds=[0]", "gate.minimum_accuracy=0.02",
)  # fmt: skip
LONGEST_S = 600


class Place:
    """The working folder: raw signs in `raw`, data/, and MLflow's store if no `uri` is given."""

    def __init__(self, folder: Path, raw: Path, uri: str = "") -> None:
        self.folder = folder
        self.raw = raw
        self.uri = uri or f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}"
        folder.mkdir(exist_ok=True)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def command(self, *arguments: str, epochs: int = 4) -> list[str]:
        training = f'training=["epochs={epochs}", "batch_size=32", "tracking.system_metrics_every_s=0"]'
        return [sys.executable, str(JOB), *SMALL, f"dataset.root={self.raw}", training, *arguments]

    def run(self, *arguments: str, epochs: int = 4) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments, epochs=epochs), cwd=self.folder, env=self.environment(), capture_output=True,
            text=True, timeout=LONGEST_S, check=False,
        )  # fmt: skip

    def start(self, log: Path, *arguments: str, epochs: int = 4) -> subprocess.Popen[bytes]:
        with log.open("wb") as out:
            return subprocess.Popen(
                self.command(*arguments, epochs=epochs), cwd=self.folder, env=self.environment(), stdout=out,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    def killed_at(
        self, text: str, log: Path, *arguments: str, after_s: float = 0.0, epochs: int = 4
    ) -> list[psutil.Process]:
        """kill -9 to the batch alone, `after_s` after it has said `text`: all that were at work for it."""
        job = self.start(log, *arguments, epochs=epochs)
        wait_for(log, text, job)
        time.sleep(after_s)
        assert job.poll() is None, "the batch has ended before it was killed"
        family = psutil.Process(job.pid).children(recursive=True)
        job.kill()
        job.wait()
        return family

    def environment(self) -> dict[str, str]:
        return {**environment(), "MLFLOW_TRACKING_URI": self.uri, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}

    def runs(self, experiment: str) -> list[Run]:
        found = self.client.get_experiment_by_name(experiment)
        return list(self.client.search_runs([found.experiment_id])) if found else []

    def aliases(self, name: str = "roadsign") -> dict[str, str]:
        found = self.client.get_registered_model(name).aliases
        return {alias: str(number) for alias, number in found.items()}

    def journal(self) -> list[dict[str, Any]]:
        path = self.folder / "data" / "retraining" / "roadsign" / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for(log: Path, text: str, job: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LONGEST_S
    while text not in log.read_text(errors="replace"):
        assert job.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.05)


def gone(processes: list[psutil.Process]) -> bool:
    """Whether none of the processes is running; zombies count as ended."""
    psutil.wait_procs(processes, timeout=60)
    return all(not one.is_running() or one.status() == psutil.STATUS_ZOMBIE for one in processes)


def expired(seconds: float = 5.5) -> None:
    """Waits until the lease of the killed process has expired."""
    time.sleep(seconds)
