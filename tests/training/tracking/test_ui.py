"""MLflow's user interface on the local store."""

import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from training.tracking import DatasetUsed, Tracking, TrackingError, UserInterface, serve, tracked_run
from training.tracking.ui import links

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def store(empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a store with the experiment classifiers."""
    database = tmp_path / "mlruns" / "mlflow.db"
    database.parent.mkdir()
    shutil.copy(empty_mlflow, database)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    MlflowClient(f"sqlite:///{database}").create_experiment("classifiers", (tmp_path / "artifacts").as_uri())
    return tmp_path


def test_it_opens_on_the_table_of_runs(store: Path) -> None:
    assert list(links(UserInterface(port=5999)).values()) == [
        "http://127.0.0.1:5999/#/experiments/1/runs?workflowType=machine_learning", "http://127.0.0.1:5999/#/models"
    ]  # fmt: skip


def test_without_a_store_nothing_is_started_or_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(
        TrackingError, match=r"there are no runs yet; make one with: uv run python jobs/train_classifier"
    ):
        serve(UserInterface(), print)
    assert not list(tmp_path.iterdir())


def test_a_server_has_an_interface_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(TrackingError, match="open it in a browser"):
        serve(UserInterface(), print)


def test_an_unknown_experiment_is_answered_with_those_there_are(store: Path) -> None:
    with pytest.raises(TrackingError, match="experiment=signs: there is none; there are Default, classifiers"):
        serve(UserInterface(experiment="signs"), print)


def test_a_taken_port_names_the_key_and_another_port(store: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(TrackingError, match=rf"port={port}: cannot be opened .* choose another: port={port + 1}"):
            serve(UserInterface(port=port), print)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_pages_open_and_a_signal_ends_all_processes(store: Path, repository: Path, number: signal.Signals) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(repository / "jobs" / "serve_ui.py"), f"port={port}"]
    with subprocess.Popen(command, cwd=store, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(3)]
        assert said[2] == "Ctrl-C ends it\n", said
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            assert b"<title>MLflow</title>" in answer.read()
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert process.wait(30) == 0
    assert len(started) >= 2
    deadline = time.monotonic() + 10
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in started):
        assert time.monotonic() < deadline, started
        time.sleep(0.1)


@pytest.mark.slow
def test_a_browser_shows_the_runs_with_their_names_and_the_columns_of_their_data(store: Path, repository: Path) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: make environment")
    if not CHROMIUM.is_file():
        pytest.skip("no /usr/bin/chromium: apt-get install chromium")
    data = DatasetUsed("signs-40px-clean-train", "d" * 64, "here", "train", 8, {"size_px": 40}, {"label": "int32"})
    tracking = Tracking(experiment="classifiers", system_metrics_every_s=0.0)
    with tracked_run(tracking, store / "run", "baseline_cnn-40px-seed0", {"lr": 0.1}, "train", [data], {}) as run:
        run.log_metrics({"accuracy/clean": 0.9})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(repository / "jobs" / "serve_ui.py"), f"port={port}"]
    with (
        subprocess.Popen(command, cwd=store, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
        api.sync_playwright() as playwright,
    ):
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(3)]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(next(word for word in " ".join(said).split() if "/runs" in word))
        page.get_by_text("baseline_cnn-40px-seed0").first.wait_for(timeout=60_000)
        page.get_by_text("signs-40px-clean-train").first.click()
        page.get_by_text("integer").first.wait_for(timeout=30_000)
        assert page.get_by_text("Unrecognized Schema Format").count() == 0
        browser.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
