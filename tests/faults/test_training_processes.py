"""Trainings as processes: killed with SIGKILL and resumed, as two ranks, and on Spark's executors."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
import torch
from small_runs import write_dataset
from standalone import environment

from training.classifiers.trained import Classifier

pytestmark = pytest.mark.slow

JOB = Path(__file__).parents[2] / "jobs" / "train_classifier.py"
BIN = Path(sys.executable).parent
SMALL = ("data.size_px=8", "device=cpu", "tracking.system_metrics_every_s=0", "model.dropout=0.0", "lr=0.003")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("datasets") / "gtsrb")


def start(cwd: Path, program: tuple[str, ...], root: Path, *overrides: str) -> subprocess.Popen[bytes]:
    cwd.mkdir(parents=True, exist_ok=True)
    command = [*program, str(JOB), f"data.root={root}", *SMALL, *overrides]
    variables = {**environment(), "OMP_NUM_THREADS": "1"}
    with (cwd / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=cwd, env=variables, stdout=log, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[bytes], cwd: Path) -> Classifier:
    try:
        assert process.wait(300) == 0, (cwd / "log").read_text()
    finally:
        process.kill()
    (model,) = cwd.glob("data/runs/*/model.pt")
    return Classifier.read(model, torch.device("cpu"))


def train(cwd: Path, program: tuple[str, ...], root: Path, *overrides: str) -> Classifier:
    return finish(start(cwd, program, root, *overrides), cwd)


def curve(cwd: Path, classifier: Classifier, name: str) -> list[float]:
    client = mlflow.MlflowClient(f"sqlite:///{cwd}/mlruns/mlflow.db")
    return [metric.value for metric in client.get_metric_history(classifier.about["run_id"], name)]


def wait_for_new_checkpoint(cwd: Path, since_ns: int, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, (cwd / "log").read_text()
        for path in cwd.glob("data/runs/*/checkpoint.pt"):
            if (written := path.stat().st_mtime_ns) > since_ns:
                return written
        time.sleep(0.01)
    raise AssertionError((cwd / "log").read_text())


def test_killed_three_times_and_resumed_it_gives_the_same_weights_bit_for_bit(root: Path, tmp_path: Path) -> None:
    settings = ("epochs=60", "batch_size=8", "checkpoint_every_steps=5", "resume=auto")
    straight = train(tmp_path / "straight", (sys.executable,), root, *settings)
    cwd, written = tmp_path / "killed", 0
    for seed in range(3):
        job = start(cwd, (sys.executable,), root, *settings)
        written = wait_for_new_checkpoint(cwd, written, job)
        time.sleep(random.Random(seed).uniform(0, 0.3))
        job.send_signal(signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL
    resumed = train(cwd, (sys.executable,), root, *settings)
    assert resumed.digest == straight.digest
    assert len(list((cwd / "data" / "runs").iterdir())) == 1
    assert "after epoch" in (cwd / "log").read_text()
    losses = {
        name: curve(tmp_path / name, run, "loss/train") for name, run in (("straight", straight), ("killed", resumed))
    }
    assert len(losses["straight"]) == 60
    assert sorted(set(losses["killed"])) == sorted(set(losses["straight"]))


def test_ctrl_c_ends_it_with_130_in_one_line_and_it_can_be_resumed(root: Path, tmp_path: Path) -> None:
    settings = ("epochs=60", "batch_size=8", "checkpoint_every_steps=5", "resume=auto")
    straight = train(tmp_path / "straight", (sys.executable,), root, *settings)
    cwd = tmp_path / "interrupted"
    job = start(cwd, (sys.executable,), root, *settings)
    wait_for_new_checkpoint(cwd, 0, job)
    job.send_signal(signal.SIGINT)
    assert job.wait(60) == 130
    log = (cwd / "log").read_text()
    assert log.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in log
    (run,) = (cwd / "data" / "runs").iterdir()
    assert not [path for path in run.rglob("*") if path.name.startswith(".checkpoint")], "half a checkpoint"
    assert not (run / "model.pt").exists()
    assert train(cwd, (sys.executable,), root, *settings).digest == straight.digest
    assert [run] == list((cwd / "data" / "runs").iterdir())


def test_two_ranks_have_the_loss_curve_of_one_with_the_doubled_batch(root: Path, tmp_path: Path) -> None:
    one = train(tmp_path / "one", (sys.executable,), root, "epochs=5", "batch_size=16")
    torchrun = (str(BIN / "torchrun"), "--nproc-per-node", "2")
    two = train(tmp_path / "two", torchrun, root, "epochs=5", "batch_size=8")
    assert "device cpu, 2 ranks" in " ".join((tmp_path / "two" / "log").read_text().split())
    for name in ("loss/train", "loss/validation", "accuracy/train", "lr"):
        ours, expected = curve(tmp_path / "two", two, name), curve(tmp_path / "one", one, name)
        assert len(expected) == 5
        assert ours == pytest.approx(expected, rel=1e-3), name
    for name, tensor in one.network.state_dict().items():
        torch.testing.assert_close(two.network.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)


def test_sparks_executors_train_the_same_network(root: Path, tmp_path: Path) -> None:
    one = train(tmp_path / "one", (sys.executable,), root, "epochs=2", "batch_size=16")
    submit = (str(BIN / "spark-submit"), "--master", "local[2]")
    spark = train(tmp_path / "spark", submit, root, "epochs=2", "batch_size=8", "launcher=spark", "processes=2")
    for name in ("loss/train", "loss/validation"):
        ours, expected = curve(tmp_path / "spark", spark, name), curve(tmp_path / "one", one, name)
        assert ours == pytest.approx(expected, rel=1e-3), name


def test_a_second_process_cannot_resume_a_running_run(root: Path, tmp_path: Path) -> None:
    settings = ("epochs=100000", "batch_size=8", "resume=auto")
    first = start(tmp_path, (sys.executable,), root, *settings)
    try:
        wait_for_new_checkpoint(tmp_path, 0, first)
        command = [sys.executable, str(JOB), f"data.root={root}", *SMALL, *settings]
        second = subprocess.run(
            command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert "is being trained by another process" in second.stderr
    finally:
        first.kill()
        first.wait()
