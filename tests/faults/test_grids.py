"""A grid as a process that is killed with SIGKILL and started again."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small_runs import write_dataset
from standalone import environment

pytestmark = pytest.mark.slow

JOB = Path(__file__).parents[2] / "jobs" / "run_grid.py"
SMALL = (
    "grid.name=small", "grid.rows={vanilla: [], adv: [objective=adversarial]}", "seeds=[0,1]",
    "grid.attacks=[{attack: fgsm, snr_db: [33]}]", "data.size_px=8", "epochs=6", "device=cpu",
    "tracking.system_metrics_every_s=0",
)  # fmt: skip


def start(cwd: Path, root: Path, *arguments: str) -> subprocess.Popen[bytes]:
    cwd.mkdir(parents=True, exist_ok=True)
    with (cwd / "log").open("ab") as log:
        command = [sys.executable, str(JOB), f"data.root={root}", *SMALL, *arguments]
        variables = {**environment(), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=cwd, env=variables, stdout=log, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[bytes], cwd: Path) -> list[dict[str, object]]:
    try:
        assert process.wait(600) == 0, (cwd / "log").read_text()
    finally:
        process.kill()
    return [dict(row) for row in pq.read_table(cwd / "data/grids/small/grid.parquet").to_pylist()]


def test_a_killed_grid_goes_on_and_has_the_same_table(tmp_path: Path) -> None:
    """Killed in the third of four trainings, after a checkpoint of it."""
    root = write_dataset(tmp_path / "gtsrb")
    expected = finish(start(tmp_path / "straight", root), tmp_path / "straight")
    cwd = tmp_path / "killed"
    process = start(cwd, root)
    deadline = time.monotonic() + 300
    while len(list(cwd.glob("data/grids/small/runs/*/checkpoint.pt"))) < 3:
        assert process.poll() is None and time.monotonic() < deadline, (cwd / "log").read_text()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert finish(start(cwd, root), cwd) == expected
    log = (cwd / "log").read_text()
    assert "resuming" in log
    assert len(list(cwd.glob("data/grids/small/runs/*/model.pt"))) == 4, "nothing was trained twice"


def test_two_workers_make_the_same_table(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "gtsrb")
    one, two = (
        finish(start(tmp_path / name, root, f"workers={workers}"), tmp_path / name)
        for name, workers in (("one", 1), ("two", 2))
    )
    assert one == two
