"""A tracking server or a run is killed or stopped while working: nothing is lost or duplicated."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import MlflowServer

from training.tracking import Spool, TrackedRun, Tracking, tracked_run

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
MODEL = bytes(range(256)) * 4000
TRAINING = """
import itertools, sys
from pathlib import Path
from training.tracking import Tracking, tracked_run

with tracked_run(Tracking(), Path(sys.argv[1]), "victim", {"lr": 0.01}, "train", [], {}) as run:
    print(run.run_id, flush=True)
    for step in itertools.count():
        run.log_metrics({"loss": 1 / (step + 1)}, step)
        print(step, flush=True)
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture
def server(store: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> MlflowServer:
    """A running server, whatever the previous test did to it."""
    if not store.answers():
        store.kill()
        store.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    return store


def begin(folder: Path, run_id: str | None = None) -> AbstractContextManager[TrackedRun]:
    quiet = Tracking(system_metrics_every_s=0.0, register_as="signs")
    return tracked_run(quiet, folder, "run", {"lr": 0.01}, "train lr=0.01", [], {}, run_id)


def log_epochs(run: TrackedRun, epochs: range, checkpoint: Path) -> float:
    """Logs epochs; returns the seconds of the slowest call."""
    slowest = 0.0
    for epoch in epochs:
        began = time.monotonic()
        run.log_metrics({"loss": 1 / (epoch + 1), "accuracy/gaussian-max": epoch / 100}, epoch)
        checkpoint.write_bytes(MODEL + bytes([epoch]))
        run.log_file(checkpoint, "checkpoint")
        slowest = max(slowest, time.monotonic() - began)
    return slowest


def sync(root: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, str(REPOSITORY / "jobs" / "sync_tracking.py"), f"runs_root={root}"]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def wait_until_sent(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while Spool(folder / "tracking").unsent():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_whole(client: MlflowClient, run_id: str, epochs: int, folder: Path) -> None:
    stored = client.get_run(run_id)
    assert stored.info.status == "FINISHED"
    for key, value in (("loss", lambda n: 1 / (n + 1)), ("accuracy/gaussian-max", lambda n: n / 100)):
        history = [(metric.step, metric.value) for metric in client.get_metric_history(run_id, key)]
        assert history == [(epoch, value(epoch)) for epoch in range(epochs)]
    folder.mkdir()
    path = client.download_artifacts(run_id, "checkpoint/model.pt", str(folder))
    assert Path(path).read_bytes() == MODEL + bytes([epochs - 1])


def test_a_server_killed_during_a_run_costs_no_time_and_sync_sends_the_rest(
    server: MlflowServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "runs" / "one"
    with caplog.at_level(logging.WARNING, "training.tracking"):
        with begin(folder) as run:
            log_epochs(run, range(3), tmp_path / "model.pt")
            wait_until_sent(folder)
            server.kill()
            slowest = log_epochs(run, range(3, 10), tmp_path / "model.pt")
            ended = time.monotonic()
        assert time.monotonic() - ended < 10
    assert slowest < 2
    (warning,) = [record.getMessage() for record in caplog.records]
    # seven epochs of two events, the status; the model was not logged, but is to be registered
    assert "16 events of this run are kept in" in warning
    assert f"jobs/sync_tracking.py runs_root={folder}" in warning
    away = sync(tmp_path / "runs")
    assert away.returncode == 1
    assert away.stderr.startswith(f"error: {server.uri}: no tracking server")
    server.start()
    told = sync(tmp_path / "runs")
    assert told.returncode == 0, told.stderr
    assert f"16 events of run {run.run_id} sent to {server.uri}" in told.stdout
    assert f"run {run.run_id} has logged no model" in told.stdout
    assert_whole(MlflowClient(server.uri), run.run_id, 10, tmp_path / "download")
    assert "nothing to send" in sync(tmp_path / "runs").stdout


def test_a_server_that_returns_during_a_run_gets_everything(
    server: MlflowServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "training.tracking"), begin(tmp_path / "run") as run:
        log_epochs(run, range(2), tmp_path / "model.pt")
        server.kill()
        log_epochs(run, range(2, 4), tmp_path / "model.pt")
        server.start()
        wait_until_sent(tmp_path / "run")
        log_epochs(run, range(4, 5), tmp_path / "model.pt")
    assert [record.getMessage() for record in caplog.records if "away" in record.getMessage()] == []
    assert_whole(MlflowClient(server.uri), run.run_id, 5, tmp_path / "download")


def test_a_hanging_server_does_not_delay_a_run(server: MlflowServer, tmp_path: Path) -> None:
    processes = server.processes()
    with begin(tmp_path / "run") as run:
        wait_until_sent(tmp_path / "run")
        for process in processes:
            process.suspend()
        slowest = log_epochs(run, range(3), tmp_path / "model.pt")
        ended = time.monotonic()
    assert time.monotonic() - ended < 45
    assert slowest < 2
    for process in processes:
        process.resume()
    assert sync(tmp_path).returncode == 0
    assert_whole(MlflowClient(server.uri), run.run_id, 3, tmp_path / "download")


def test_a_killed_run_is_sent_up_to_its_last_event_and_can_be_resumed(server: MlflowServer, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "victim"
    victim = subprocess.Popen([sys.executable, "-c", TRAINING, str(folder)], stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    run_id = victim.stdout.readline().strip()
    while victim.stdout.readline().strip() != "30":
        assert victim.poll() is None
    assert "still in progress" in sync(tmp_path / "runs").stdout or Spool(folder / "tracking").unsent() == 0
    server.kill()
    victim.kill()
    with victim:
        logged = [int(line) for line in victim.stdout.read().split()]
    server.start()
    assert sync(tmp_path / "runs").returncode == 0
    client = MlflowClient(server.uri)
    steps = [metric.step for metric in client.get_metric_history(run_id, "loss")]
    assert steps == list(range(len(steps)))
    assert len(steps) > logged[-1]
    with begin(folder, run_id) as run:
        run.log_metrics({"loss": 0.0}, len(steps))
    assert client.get_run(run_id).info.status == "FINISHED"
    assert len(client.get_metric_history(run_id, "loss")) == len(steps) + 1


def test_a_run_is_resumed_while_the_server_is_unreachable(server: MlflowServer, tmp_path: Path) -> None:
    with begin(tmp_path / "run") as run:
        log_epochs(run, range(2), tmp_path / "model.pt")
    server.kill()
    with begin(tmp_path / "run", run.run_id) as again:
        log_epochs(again, range(2, 4), tmp_path / "model.pt")
    server.start()
    assert sync(tmp_path).returncode == 0
    assert_whole(MlflowClient(server.uri), run.run_id, 4, tmp_path / "download")
