"""A joint training as a process that is killed and resumed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_joint import write_digits
from standalone import environment

from training.classifiers.trained import Classifier
from training.gans.trained import TrainedGan

pytestmark = pytest.mark.slow

JOB = Path(__file__).parents[2] / "jobs" / "train_robust.py"
SMALL = (
    "data.size_px=8", "iterations=60", "keep_every=30", "gan.n_critic=2", "gan.width=2", "batch_size=16", "samples=20",
    "classifier_seeds=[0]", "checkpoint_every_steps=7", "resume=auto", "device=cpu",
    "tracking.system_metrics_every_s=0",
)  # fmt: skip


def start(cwd: Path, root: Path) -> subprocess.Popen[bytes]:
    cwd.mkdir(parents=True, exist_ok=True)
    with (cwd / "log").open("ab") as log:
        variables = {**environment(), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(JOB), f"data.root={root}", *SMALL]
        return subprocess.Popen(command, cwd=cwd, env=variables, stdout=log, stderr=subprocess.STDOUT)


def digests(cwd: Path) -> list[str]:
    """Of all classifiers and generators."""
    cpu = torch.device("cpu")
    classifiers = sorted(cwd.glob("data/runs/*/classifiers/*.pt"))
    generators = sorted(cwd.glob("data/runs/*/generators/*.pt"))
    assert (len(classifiers), len(generators)) == (2, 2)
    return [Classifier.read(path, cpu).digest for path in classifiers] + [
        TrainedGan.read(path, cpu).digest for path in generators
    ]


def test_a_killed_and_resumed_training_gives_the_same_networks_bit_for_bit(tmp_path: Path) -> None:
    root = write_digits(tmp_path / "mnist")
    straight = start(tmp_path / "straight", root)
    assert straight.wait(300) == 0, (tmp_path / "straight" / "log").read_text()
    cwd = tmp_path / "killed"
    job = start(cwd, root)
    deadline = time.monotonic() + 120
    while not list(cwd.glob("data/runs/*/checkpoint.pt")):
        assert job.poll() is None and time.monotonic() < deadline, (cwd / "log").read_text()
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    again = start(cwd, root)
    assert again.wait(300) == 0, (cwd / "log").read_text()
    assert "resuming" in (cwd / "log").read_text()
    assert digests(cwd) == digests(tmp_path / "straight")
