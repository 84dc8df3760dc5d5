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

from training.gans.trained import TrainedGan

pytestmark = pytest.mark.slow

JOB = Path(__file__).parents[2] / "jobs" / "train_gan.py"
EXACT = Path(__file__).parents[1] / "reference" / "exact_gan.py"
BIN = Path(sys.executable).parent
TORCHRUN = (str(BIN / "torchrun"), "--standalone", "--nproc-per-node", "2")
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


def test_a_killed_and_resumed_training_gives_the_same_generator_bit_for_bit(root: Path, tmp_path: Path) -> None:
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
    assert "after epoch" in (cwd / "log").read_text()


def test_two_ranks_learn_what_one_with_their_joint_batch_size_learns(root: Path, tmp_path: Path) -> None:
    """Without batch norm, whose statistics are computed per rank. With 94 images the last batch of an epoch is padded,
    on the second rank only."""
    weights = []
    for name, program, batch_size in (("one", (sys.executable,), 16), ("two", TORCHRUN, 8)):
        output = tmp_path / f"{name}.pt"
        command = [*program, str(EXACT), str(root), str(output), str(batch_size)]
        variables = {**environment(), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(EXACT.parent)}
        subprocess.run(command, env=variables, check=True, timeout=300)
        weights.append(torch.load(output, weights_only=True))
    for name, tensor in weights[0].items():
        assert tensor.dtype == torch.float64
        torch.testing.assert_close(weights[1][name], tensor, atol=1e-9, rtol=0)


def test_two_ranks_of_the_job_write_one_generator(root: Path, tmp_path: Path) -> None:
    """With each launcher. The latent needs noise images, which must be shipped to Spark's executors."""
    latent = "gan.latent={kind: noise_image, noise: gaussian, level: max}"
    settings = ("gan=wgan_gp", "gan.n_critic=2", "epochs=3", "ema_decay=0.0", latent)
    one = train(tmp_path / "one", (sys.executable,), root, *settings, "batch_size=16")
    submit = (str(BIN / "spark-submit"), "--master", "local[2]")
    twos = [
        train(tmp_path / "torchrun", TORCHRUN, root, *settings, "batch_size=8"),
        train(tmp_path / "spark", submit, root, *settings, "batch_size=8", "launcher=spark", "processes=2"),
    ]
    for two in twos:
        for loss in ("loss/discriminator", "loss/penalty", "loss/generator"):
            assert two.about["metrics"][loss] == pytest.approx(one.about["metrics"][loss], rel=1e-2)
