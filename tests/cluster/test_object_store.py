"""The profile s3 of docker/compose.yaml without containers: MLflow's artefacts in a bucket of a real S3 server."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import s3fs
from mlflow import MlflowClient
from s3_server import Server
from stack import PASSWORD, USER, Stack

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.kill()


@pytest.fixture
def stack(server: Server, tmp_path: Path) -> Iterator[Stack]:
    (tmp_path / "s3").write_text("of S3\n")
    started = Stack(
        tmp_path,
        ROADSIGN_STORE=f"sqlite:///{tmp_path / 'runs.db'}",
        ROADSIGN_USERS=f"sqlite:///{tmp_path / 'users.db'}",
        ROADSIGN_ARTIFACTS="s3://roadsign",
        MLFLOW_S3_ENDPOINT_URL=server.url,
        AWS_ACCESS_KEY_ID="roadsign",
        AWS_SECRET_ACCESS_KEY_FILE=str(tmp_path / "s3"),
    )
    yield started
    started.stop_all()


def make_bucket(stack: Stack) -> None:
    command = [str(stack.services / "start.sh"), "s3-bucket"]
    subprocess.run(command, env=stack.variables("s3-bucket"), check=True, timeout=60)


def test_artefacts_are_in_the_bucket_and_served_only_with_mlflows_password(
    stack: Stack, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bucket(stack)
    make_bucket(stack)  # as after each `make up`
    stack.start_mlflow()
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    client = MlflowClient(stack.mlflow_url)
    run = client.create_run(client.create_experiment("classifiers")).info
    (tmp_path / "model.pt").write_bytes(b"weights")
    client.log_artifact(run.run_id, str(tmp_path / "model.pt"), "checkpoint")

    s3fs.S3FileSystem.clear_instance_cache()
    bucket = fsspec.filesystem("s3", key="roadsign", secret="of S3", endpoint_url=server.url)
    (stored,) = bucket.find("roadsign")
    assert stored.endswith(f"{run.run_id}/artifacts/checkpoint/model.pt")
    assert bucket.cat(stored) == b"weights"
    assert Path(client.download_artifacts(run.run_id, "checkpoint/model.pt")).read_bytes() == b"weights"
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "guess")
    with pytest.raises(Exception, match="401"):
        MlflowClient(stack.mlflow_url).download_artifacts(run.run_id, "checkpoint/model.pt")
    assert "of S3" not in stack.log("mlflow")
