"""Studies as processes: killed with SIGKILL and started again, and with two workers."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import optuna
import psutil
import pytest
from optuna.trial import FrozenTrial, TrialState
from small_runs import write_dataset
from standalone import environment

pytestmark = pytest.mark.slow

JOB = Path(__file__).parents[2] / "jobs" / "tune.py"
SMALL = (
    "study=baseline_cnn", "study.search={lr: {low: 0.001, high: 0.1, log: true}, batch_size: {choices: [16, 32]}}",
    "data.size_px=8", "epochs=6", "device=cpu", "tracking.system_metrics_every_s=0", "pruning=none",
    "startup_trials=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("datasets") / "gtsrb")


def start(cwd: Path, root: Path, *arguments: str) -> subprocess.Popen[bytes]:
    cwd.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(JOB), f"data.root={root}", *SMALL, *arguments]
    with (cwd / "log").open("ab") as log:
        variables = {**environment(), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=cwd, env=variables, stdout=log, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[bytes], cwd: Path) -> list[FrozenTrial]:
    try:
        assert process.wait(600) == 0, (cwd / "log").read_text()
    finally:
        process.kill()
    return stored(cwd).trials


def stored(cwd: Path) -> optuna.Study:
    return optuna.load_study(study_name="baseline_cnn", storage=f"sqlite:///{cwd}/data/studies/baseline_cnn/study.db")


def wait_for_checkpoint(process: subprocess.Popen[bytes], cwd: Path, runs: int) -> None:
    """Until the run number `runs` has a checkpoint and is not finished."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert process.poll() is None, (cwd / "log").read_text()
        if len(list(cwd.glob("data/studies/*/runs/*/checkpoint.pt"))) >= runs:
            return
        time.sleep(0.01)
    raise AssertionError((cwd / "log").read_text())


def test_a_killed_study_goes_on_with_the_trial_that_was_killed(root: Path, tmp_path: Path) -> None:
    expected = finish(start(tmp_path / "straight", root, "trials=3"), tmp_path / "straight")
    cwd = tmp_path / "killed"
    process = start(cwd, root, "trials=3")
    wait_for_checkpoint(process, cwd, runs=2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    trials = finish(start(cwd, root, "trials=3"), cwd)
    assert [trial.state for trial in trials].count(TrialState.FAIL) == 1
    ended = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert [(trial.params, trial.value) for trial in ended] == [(trial.params, trial.value) for trial in expected]
    log = (cwd / "log").read_text()
    assert "trial 1: was killed" in log and "resuming" in log
    runs = mlflow.MlflowClient(f"sqlite:///{cwd}/mlruns/mlflow.db").search_runs(["1"])
    assert len(runs) == 4 and {run.info.status for run in runs} == {"FINISHED"}  # the killed one was resumed


def test_two_workers_train_each_trial_once(root: Path, tmp_path: Path) -> None:
    trials = finish(start(tmp_path, root, "trials=3", "epochs=2", "workers=2"), tmp_path)
    assert [trial.state for trial in trials] == 3 * [TrialState.COMPLETE]
    runs = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db").search_runs(["1"])
    assert sorted(run.data.tags.get("trial", "") for run in runs) == ["", "0", "1", "2"]
    started = [trial.datetime_start for trial in trials]
    ended = [trial.datetime_complete for trial in trials]
    assert started[1] and ended[0] and started[1] < ended[0]


def test_workers_do_not_outlive_a_killed_study(root: Path, tmp_path: Path) -> None:
    process = start(tmp_path, root, "trials=20", "workers=2")
    wait_for_checkpoint(process, tmp_path, runs=2)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []
