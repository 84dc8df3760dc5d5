"""A training whose folder is in a bucket, killed with SIGKILL and resumed as on another machine."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from s3_server import Server
from small_runs import write_dataset
from standalone import environment
from upath import UPath

from training.classifiers.trained import Classifier
from training.tracking import find_models

pytestmark = pytest.mark.slow

JOB = Path(__file__).parents[2] / "jobs" / "train_classifier.py"
SMALL = (
    "data.size_px=8", "device=cpu", "tracking.system_metrics_every_s=0", "model.dropout=0.0", "lr=0.003", "epochs=60",
    "batch_size=8", "checkpoint_every_steps=5", "resume=auto", "runs_root=s3://bucket/runs",
)  # fmt: skip


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    server = Server()
    for name, value in {
        "AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1", "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    yield server
    server.kill()


def train(cwd: Path, data: Path, *overrides: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(JOB), f"data.root={data}", *SMALL, *overrides]
    return subprocess.Popen(
        command, cwd=cwd, env={**environment(), "OMP_NUM_THREADS": "1"}, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for_checkpoint(bucket: UPath, job: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not bucket.fs.glob("bucket/runs/*/checkpoint.pt"):
        assert job.poll() is None and time.monotonic() < deadline, job.communicate()
        time.sleep(0.1)
        bucket.fs.invalidate_cache()


def test_another_machine_goes_on_and_gives_the_same_weights(server: Server, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "datasets" / "gtsrb")
    bucket = UPath("s3://bucket")
    bucket.fs.mkdir("bucket")
    for name in ("straight", "one", "other"):
        (tmp_path / name).mkdir()
    job = train(tmp_path / "one", data)
    wait_for_checkpoint(bucket, job)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    assert job.returncode == -signal.SIGKILL
    refused = train(tmp_path / "other", data).communicate()[1]
    waits = re.search(r"another run is writing here .* try again in (\d+) s", refused)
    assert waits, refused
    time.sleep(int(waits[1]) + 1)
    out, said = train(tmp_path / "other", data).communicate()
    assert "resuming s3://bucket/runs/" in out, said
    model = re.search(r"model: (s3://.*/model.pt)", out)
    assert model, said
    straight = train(tmp_path / "straight", data, "runs_root=runs")
    assert straight.communicate() and straight.returncode == 0
    (file,) = (tmp_path / "straight" / "runs").glob("*/model.pt")
    both = [Classifier.read(one.path, torch.device("cpu")) for one in find_models([model[1], str(file)])]
    assert both[0].digest == both[1].digest
