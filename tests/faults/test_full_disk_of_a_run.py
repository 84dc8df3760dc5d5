"""A full disk at the start of a training gives one line and no run, and does not stop the next one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import write_dataset

pytestmark = pytest.mark.slow

JOB = Path(__file__).parents[2] / "jobs" / "train_classifier.py"
FULL_DISK = """
mount -t tmpfs -o size=64k none "$RUNS" || exit 77
head -c 1000000 /dev/zero > "$RUNS/fill" 2> "$LOG.fill"
"$@" > "$LOG.full" 2>&1
echo "exit $?"
rm "$RUNS/fill"; mount -o remount,size=200m "$RUNS"
"$@" > "$LOG.room" 2>&1
echo "exit $?"; ls -A "$RUNS" | wc -l
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare to mount a small disk of its own")
def test_a_full_disk_at_a_runs_start_is_reported_and_the_next_run_starts(tmp_path: Path) -> None:
    root, runs = write_dataset(tmp_path / "gtsrb"), tmp_path / "runs"
    runs.mkdir()
    command = [
        sys.executable, str(JOB), f"data.root={root}", f"runs_root={runs}", "resume=auto", "data.size_px=8", "epochs=1",
        "batch_size=16", "device=cpu", "cache=none", "tracking.system_metrics_every_s=0",
    ]  # fmt: skip
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", FULL_DISK, "sh", *command],
        env={**os.environ, "RUNS": str(runs), "LOG": str(tmp_path / "log")},
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("this machine lets nobody mount a small disk")
    said = (tmp_path / "log.full").read_text()
    assert done.stdout.split() == ["exit", "1", "exit", "0", "1"], said + (tmp_path / "log.room").read_text()
    assert "Traceback" not in said
    assert "error: " in said.splitlines()[-1] and "No space left on device" in said and "make room" in said
