"""The system of docker/compose.yaml without containers: PostgreSQL where it is installed, MLflow behind its password, a
Spark master with two workers, and a job."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import job_runs
import psutil
import pytest
from stack import PASSWORD, USER, Stack

pytestmark = pytest.mark.slow
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=10"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="roadsign-stack-"))  # not pytest's, which no other user may enter
    folder.chmod(0o755)
    started = Stack(folder)
    try:
        started.start_all()
        yield started
    finally:
        started.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


def test_mlflow_tells_nothing_to_those_without_the_password(stack: Stack) -> None:
    assert stack.status(SEARCH) == 401
    assert stack.status(SEARCH, USER, "guess") == 401
    assert stack.status(SEARCH, "admin", "password1234") == 401
    assert stack.status(SEARCH, USER, PASSWORD) == 200


def command_line(process: psutil.Process) -> str:
    """Nothing of one that has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_no_secret_stands_on_a_command_line_or_in_a_log(stack: Stack) -> None:
    secrets = [(stack.folder / name).read_text().strip() for name in ("db", "mlflow", "spark")]
    for name, process in stack.running.items():
        commands = [command_line(one) for one in (psutil.Process(process.pid), *job_runs.descendants(process))]
        assert commands[0], name
        told = "\n".join([*commands, stack.log(name)])
        assert not [secret for secret in secrets if secret in told], name


def test_a_job_runs_on_the_workers_and_its_datasets_are_whole(stack: Stack) -> None:
    done = stack.run_job("make_noisy_datasets", "dataset.kind=synthetic_signs", "sizes_px=[28]", "variants=[clean]")
    assert done.returncode == 0, done.stdout + done.stderr
    found = job_runs.digests(stack.folder / "jobs" / "data" / "datasets" / "synthetic_signs")
    assert list(found) == ["geometry=crop_or_pad/size_px=28/variant=clean"]
    said = stack.master()
    assert said is not None
    assert [app["name"] for app in said["completedapps"]] == ["make_noisy_datasets"]
    assert stack.alive_workers() == 2


def test_a_driver_without_sparks_secret_gets_no_executor(stack: Stack) -> None:
    (stack.folder / "guess").write_text("guess\n")
    variables = {"ROADSIGN_SPARK_SECRET_FILE": str(stack.folder / "guess")}
    done = stack.run_job("make_noisy_datasets", "seed=9", "sizes_px=[28]", "variants=[clean]", **variables)
    assert done.returncode != 0
    said = stack.master()
    assert said is not None and len(said["completedapps"]) + len(said["activeapps"]) == 1


def test_what_was_done_outlives_a_killed_server_its_killed_database_and_a_killed_worker(stack: Stack) -> None:
    root = "data.root=data/datasets/synthetic_signs"
    done = stack.run_job("train_classifier", root, "data.size_px=28", "epochs=1", "device=cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("mlflow", "worker-1", *(["postgres"] if stack.postgres else [])):
        stack.kill(name)
    if stack.postgres:
        stack.start_postgres()
    stack.start_mlflow()
    stack.start_worker(1, expected=2)
    assert stack.status(SEARCH, USER, PASSWORD) == 200
    again = stack.run_job("make_adversarial_datasets", "model=latest", "attack=fgsm", "snr_db=[30]", root)
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(job_runs.digests(stack.folder / "jobs" / "data" / "datasets" / "synthetic_signs")) == 2
