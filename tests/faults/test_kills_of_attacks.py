"""kill -9 while adversarial datasets are written, then a rerun: no partial datasets, the same bytes, no leftovers."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import job_runs
import psutil
import pytest
from small_attacks import classifier
from small_datasets import Small

pytestmark = pytest.mark.slow

SIZE_PX = 28
STRENGTHS = ("attack=pgd", "eps=[0.01,0.02]")


def python_worker(job: subprocess.Popen[bytes]) -> psutil.Process:
    """The pid of a Python worker with open files of a dataset."""
    return next(
        process for process in job_runs.descendants(job)
        if any(".staging" in file.path for file in process.open_files())
    )  # fmt: skip


def java_driver(job: subprocess.Popen[bytes]) -> psutil.Process:
    return psutil.Process(job.pid)


@pytest.mark.parametrize("victim", [python_worker, java_driver])
def test_a_killed_run_leaves_nothing_and_a_rerun_makes_the_same(
    tmp_path: Path, victim: Callable[[subprocess.Popen[bytes]], psutil.Process]
) -> None:
    small = Small({"test": [[50] * 4] * 3}, size_px=SIZE_PX)
    for out in ("out", "undisturbed"):
        small.write(tmp_path / out / "signs")
    model = classifier(size_px=SIZE_PX)
    model.write(tmp_path / "model.pt")

    def start(out: str) -> subprocess.Popen[bytes]:
        arguments = (f"model={tmp_path / 'model.pt'}", *STRENGTHS, f"data.root={tmp_path / out / 'signs'}")
        return job_runs.start(tmp_path / "log", *arguments, job=job_runs.ATTACKING_JOB)

    assert job_runs.finish(start("undisturbed")) == 0, (tmp_path / "log").read_text()
    whole = job_runs.digests(tmp_path / "undisturbed" / "signs")
    assert len(whole) == 3
    clean = job_runs.digests(tmp_path / "out" / "signs")
    job = start("out")
    job_runs.wait_for_writing(job, tmp_path / "out", files=2)
    family = job_runs.descendants(job)
    victim(job).kill()
    assert job_runs.finish(job) != 0
    job_runs.wait_until_gone(family)
    assert job_runs.digests(tmp_path / "out" / "signs") == clean
    assert job_runs.finish(start("out")) == 0, (tmp_path / "log").read_text()
    assert job_runs.digests(tmp_path / "out" / "signs") == whole
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["signs"]
