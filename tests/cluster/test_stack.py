"""The system of docker/compose.yaml without containers: PostgreSQL where it is installed, MLflow behind its password, a
Spark master with two workers, and a job."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import job_runs
import psutil
import pytest
from mlflow import MlflowClient
from retrainings import wait_for
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


def test_mlflow_refuses_requests_without_the_password(stack: Stack) -> None:
    assert stack.status(SEARCH) == 401
    assert stack.status(SEARCH, USER, "guess") == 401
    assert stack.status(SEARCH, "admin", "password1234") == 401
    assert stack.status(SEARCH, USER, PASSWORD) == 200


def test_mlflow_answers_only_to_its_own_host_names(stack: Stack) -> None:
    port = stack.ports["mlflow"]
    for host, status in ((f"localhost:{port}", 200), ("roadsign.example", 403), (f"roadsign.example:{port}", 403)):
        assert stack.status(SEARCH, USER, PASSWORD, host=host) == status, host


def test_another_user_sees_nothing_that_was_not_granted(stack: Stack) -> None:
    admin = (USER, PASSWORD)
    other = ("guest", "a password of a guest")
    assert stack.post("users/create", {"username": other[0], "password": other[1]}, *other)[0] in (401, 403)
    assert stack.post("users/create", {"username": other[0], "password": other[1]}, *admin)[0] == 200
    made, answer = stack.post("experiments/create", {"name": "not for guests"}, *admin)
    assert made == 200
    experiment = f"/api/2.0/mlflow/experiments/get?experiment_id={answer['experiment_id']}"
    assert stack.status(experiment, *other) == 403
    assert stack.status(experiment, *admin) == 200
    assert stack.post("experiments/search", {"max_results": 99}, *other) == (200, {})
    for what in ("experiments/delete", "experiments/update"):
        assert stack.post(what, {**answer, "new_name": "taken"}, *other)[0] == 403


def test_sparks_processes_are_configured_to_encrypt(stack: Stack) -> None:
    for name in ("spark-master", "worker-1", "worker-2"):
        conf = (stack.folder / f"run-{name}" / "spark" / "spark-defaults.conf").read_text()
        assert "spark.network.crypto.enabled true\n" in conf, name


def command_line(process: psutil.Process) -> str:
    """The command line of a process; empty if it has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_no_secret_is_on_a_command_line_or_in_a_log(stack: Stack) -> None:
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


def test_finished_work_survives_killing_the_server_its_database_and_a_worker(stack: Stack) -> None:
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


RETRAIN = (
    "retrain", "dataset.kind=synthetic_signs", "size_px=28", "device=cpu",
    'datasets=["variants=[clean,gaussian-max]", "images_per_part=200"]', 'training=["epochs=8", "batch_size=32"]',
    'attacks=[["attack=fgsm", "snr_db=[33]"]]', "seeds=[0]", "gate.minimum_accuracy=0.02",
)  # fmt: skip


def test_a_retraining_survives_killing_a_worker_the_server_and_its_database(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    job = stack.start_job(log, *RETRAIN)
    while not (stack.master() or {}).get("activeapps"):
        assert job.poll() is None, log.read_text()
        time.sleep(0.1)
    stack.kill("worker-2")
    wait_for(log, "epoch 2/8", job)
    for name in ("mlflow", *(["postgres"] if stack.postgres else [])):
        stack.kill(name)
    stack.start_worker(2, expected=2)
    wait_for(log, "epoch 4/8", job)
    if stack.postgres:
        stack.start_postgres()
    stack.start_mlflow()
    assert job.wait(900) == 0, log.read_text()
    assert "Promoted: there was no champion." in log.read_text()

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    client = MlflowClient(stack.mlflow_url)
    champion = client.get_model_version_by_alias("roadsign", "champion")
    experiment = client.get_experiment_by_name("classifiers")
    of_batch = f"tags.batch_id = '{champion.tags['batch_id']}'"
    (run,) = client.search_runs([experiment.experiment_id], of_batch)
    assert (run.info.run_id, run.info.status) == (champion.run_id, "FINISHED")
    epochs = [point.step for point in client.get_metric_history(run.info.run_id, "accuracy/validation")]
    assert epochs == list(range(1, 9)), "an epoch was lost, or trained twice"
    again = stack.run_job(*RETRAIN)
    assert "nothing has changed" in again.stdout, again.stdout + again.stderr
