"""kill -9 while writing, then a rerun: the digests of an undisturbed run, no partial datasets, no leftovers."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import job_runs
import psutil
import pytest
from standalone import environment, standalone_cluster

from pipelines.datasets import SyntheticSigns

pytestmark = pytest.mark.slow

NAME = "synthetic_signs"
SETTINGS = ("sizes_px=[40,75]", "images_per_part=200", "images_per_row_group=100")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SyntheticSigns(root=tmp_path_factory.mktemp("raw") / "signs", test_images_per_class=2).ensure()


@pytest.fixture(scope="module")
def undisturbed(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    job = job_runs.start(folder / "log", f"dataset.root={raw}", f"output_root={folder}", *SETTINGS)
    assert job_runs.finish(job) == 0, (folder / "log").read_text()
    found = job_runs.digests(folder / NAME)
    assert len(found) == 20
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with standalone_cluster(tmp_path_factory.mktemp("cluster")) as url:
        yield url


def python_worker(job: subprocess.Popen[bytes]) -> psutil.Process:
    """The pid of a Python worker with open files of a dataset."""
    return _first(job, lambda process: any(file.path.endswith(".parquet") for file in process.open_files()))


def python_driver(job: subprocess.Popen[bytes]) -> psutil.Process:
    return _first(job, lambda process: str(job_runs.JOB) in process.cmdline())


def _first(job: subprocess.Popen[bytes], is_it: Callable[[psutil.Process], bool]) -> psutil.Process:
    for process in job_runs.descendants(job):
        with contextlib.suppress(psutil.Error):  # it may end while it is looked at
            if is_it(process):
                return process
    raise AssertionError("no such process")


def java_driver(job: subprocess.Popen[bytes]) -> psutil.Process:
    return psutil.Process(job.pid)


def test_one_core_makes_the_same_datasets(raw: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    arguments = (f"dataset.root={raw}", f"output_root={tmp_path / 'out'}", *SETTINGS)
    job = job_runs.start(tmp_path / "log", *arguments, submit=("--master", "local[1]"))
    assert job_runs.finish(job) == 0, (tmp_path / "log").read_text()
    assert job_runs.digests(tmp_path / "out" / NAME) == undisturbed


@pytest.mark.parametrize("victim", [python_worker, python_driver, java_driver])
def test_a_killed_local_run_leaves_nothing_and_a_rerun_makes_the_same(
    raw: Path, undisturbed: dict[str, str], tmp_path: Path, victim: Callable[[subprocess.Popen[bytes]], psutil.Process]
) -> None:
    arguments = (f"dataset.root={raw}", f"output_root={tmp_path / 'out'}", *SETTINGS)
    job = job_runs.start(tmp_path / "log", *arguments)
    job_runs.wait_for_writing(job, tmp_path / "out")
    family = job_runs.descendants(job)
    victim(job).kill()
    assert job_runs.finish(job) != 0
    job_runs.wait_until_gone(family)
    assert job_runs.digests(tmp_path / "out" / NAME) == {}
    again = job_runs.start(tmp_path / "log", *arguments)
    assert job_runs.finish(again) == 0, (tmp_path / "log").read_text()
    assert job_runs.digests(tmp_path / "out" / NAME) == undisturbed
    assert [path.name for path in (tmp_path / "out").iterdir()] == [NAME]


def test_ctrl_c_ends_a_run_with_130_in_one_line_and_a_rerun_makes_the_same(
    raw: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    """As in a terminal, every process of the job is interrupted."""
    arguments = (f"dataset.root={raw}", f"output_root={tmp_path / 'out'}", *SETTINGS)
    with (tmp_path / "log").open("wb") as out:
        job = subprocess.Popen(
            [sys.executable, str(job_runs.JOB), *arguments], stdout=out, stderr=subprocess.STDOUT, env=environment(),
            start_new_session=True,
        )  # fmt: skip
    job_runs.wait_for_writing(job, tmp_path / "out")
    family = job_runs.descendants(job)
    os.killpg(job.pid, signal.SIGINT)
    assert job_runs.finish(job) == 130, (tmp_path / "log").read_text()
    job_runs.wait_until_gone(family)
    log = (tmp_path / "log").read_text()
    assert "error: interrupted\n" in log  # Spark's progress bar may come after it
    assert "KeyboardInterrupt" not in log, "a traceback of the job; Spark's tasks may say that they were aborted"
    assert job_runs.digests(tmp_path / "out" / NAME) == {}
    again = job_runs.start(tmp_path / "log", *arguments)
    assert job_runs.finish(again) == 0, (tmp_path / "log").read_text()
    assert job_runs.digests(tmp_path / "out" / NAME) == undisturbed
    assert [path.name for path in (tmp_path / "out").iterdir()] == [NAME]


def test_a_killed_run_over_an_older_dataset_leaves_the_older_one(
    raw: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    arguments = (f"dataset.root={raw}", f"output_root={tmp_path / 'out'}", *SETTINGS)
    assert job_runs.finish(job_runs.start(tmp_path / "log", *arguments)) == 0
    job = job_runs.start(tmp_path / "log", *arguments, "seed=1")
    job_runs.wait_for_writing(job, tmp_path / "out")
    family = job_runs.descendants(job)
    java_driver(job).kill()
    job_runs.finish(job)
    job_runs.wait_until_gone(family)
    assert job_runs.digests(tmp_path / "out" / NAME) == undisturbed


def test_a_cluster_makes_the_same_datasets_and_continues_after_an_executor_is_killed(
    cluster: str, raw: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    arguments = (f"dataset.root={raw}", f"output_root={tmp_path / 'out'}", *SETTINGS)
    job = job_runs.start(tmp_path / "log", *arguments, submit=("--master", cluster))
    job_runs.wait_for_writing(job, tmp_path / "out")
    executors = [
        process for process in psutil.process_iter(["cmdline"])
        if any("CoarseGrainedExecutorBackend" in part for part in process.info["cmdline"] or [])
        and any(cluster.rpartition(":")[2] in part or "driver-url" in part for part in process.info["cmdline"])
    ]  # fmt: skip
    assert len(executors) == 2
    executors[0].kill()
    assert job_runs.finish(job) == 0, (tmp_path / "log").read_text()
    assert job_runs.digests(tmp_path / "out" / NAME) == undisturbed
    assert [path.name for path in (tmp_path / "out").iterdir()] == [NAME]


FULL_DISK = """
mount -t tmpfs -o size=30m none "$OUT" || exit 77
"$@" > "$LOG.full" 2>&1
echo "exit $?"; find "$OUT" -mindepth 1 -not -path "$OUT/synthetic_signs"
mount -o remount,size=600m "$OUT"
"$@" > "$LOG.room" 2>&1
echo "exit $?"; cp -r "$OUT" "$COPY"
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare to mount a small disk of its own")
def test_a_full_disk_is_named_and_a_rerun_with_room_makes_the_same(
    raw: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    command = job_runs.command(f"dataset.root={raw}", f"output_root={tmp_path / 'out'}", *SETTINGS)
    places = {"OUT": str(tmp_path / "out"), "LOG": str(tmp_path / "log"), "COPY": str(tmp_path / "copy")}
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", FULL_DISK, "sh", *command],
        env=job_runs.environment() | places, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("this machine lets nobody mount a small disk")
    said = (tmp_path / "log.full").read_text()
    assert done.stdout.splitlines() == ["exit 1", "exit 0"], said
    assert "error: " in said and "no space left on its disk; free some, or make fewer sizes" in said
    assert "Traceback" not in said.rpartition("error: ")[2]
    assert job_runs.digests(tmp_path / "copy" / NAME) == undisturbed
