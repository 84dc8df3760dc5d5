"""Trainings of GANs as processes: killed and resumed, and as two ranks."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_runs import write_dataset
from standalone import environment

from training.trained_gan import TrainedGan

pytestmark = pytest.mark.slow

JOB = Path(__file__).parents[2] / "jobs" / "train_gan.py"
TORCHRUN = (str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node", "2")
SMALL = ("data.size_px=8", "device=cpu", "tracking.system_metrics_every_s=0")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("datasets") / "gtsrb")


def start(cwd: Path, program: tuple[str, ...], root: Path, *overrides: str) -> subprocess.Popen[bytes]:
    cwd.mkdir(parents=True, exist_ok=True)
    command = [*program, str(JOB), f"data.root={root}", *SMALL, *overrides]
    with (cwd / "log").open("ab") as log:
        variables = {**environment(), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=cwd, env=variables, stdout=log, stderr=subprocess.STDOUT)


def train(cwd: Path, program: tuple[str, ...], root: Path, *overrides: str) -> TrainedGan:
    process = start(cwd, program, root, *overrides)
    try:
        assert process.wait(300) == 0, (cwd / "log").read_text()
    finally:
        process.kill()
    (model,) = cwd.glob("data/runs/*/model.pt")
    return TrainedGan.read(model, torch.device("cpu"))


def test_killed_and_resumed_it_gives_the_same_generator_bit_for_bit(root: Path, tmp_path: Path) -> None:
    settings = ("gan=dcgan", "gan.channels=4", "epochs=40", "batch_size=8", "checkpoint_every_steps=5", "resume=auto")
    straight = train(tmp_path / "straight", (sys.executable,), root, *settings)
    cwd = tmp_path / "killed"
    job = start(cwd, (sys.executable,), root, *settings)
    deadline = time.monotonic() + 120
    while not list(cwd.glob("data/runs/*/checkpoint.pt")):
        assert job.poll() is None and time.monotonic() < deadline, (cwd / "log").read_text()
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    assert train(cwd, (sys.executable,), root, *settings).digest == straight.digest
    assert "going on after epoch" in (cwd / "log").read_text()


def test_two_ranks_learn_what_one_with_their_joint_batch_size_learns(root: Path, tmp_path: Path) -> None:
    """Without batch norm, whose statistics are of each rank's own images."""
    settings = ("gan=wgan_gp", "gan.n_critic=2", "epochs=3", "ema_decay=0.0")
    one = train(tmp_path / "one", (sys.executable,), root, *settings, "batch_size=16")
    two = train(tmp_path / "two", TORCHRUN, root, *settings, "batch_size=8")
    for name, tensor in one.generator.state_dict().items():
        torch.testing.assert_close(two.generator.state_dict()[name], tensor, atol=2e-4, rtol=1e-2)
    losses = [trained.about["metrics"]["loss/penalty"] for trained in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
