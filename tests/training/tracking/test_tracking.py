"""Runs in a real MLflow store: a database, and a real server that is killed and restarted."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient, pytorch
from mlflow.entities import Metric, Run
from mlflow.models import get_model_info
from mlflow_server import MlflowServer
from torch import nn

from pipelines.errors import RoadsignError
from training.loop.run_folder import hold_run_folder
from training.models import MODELS
from training.tracking import (
    DatasetUsed,
    TrackedRun,
    Tracking,
    TrackingError,
    UnreachableError,
    end_run,
    find_models,
    reopened_run,
    tracked_run,
)
from training.tracking.runs import flattened
from training.tracking.server import Server

DIGEST = "0123456789abcdef" * 4
DATASET = DatasetUsed(
    "gtsrb/clean 40 px", DIGEST, "data/datasets/gtsrb/x", "train", 31380, {"size_px": 40},
    {"image": "binary", "label": "int32"},
)  # fmt: skip
SETTINGS = {
    "data": {"mixture": {"clean": 1.0, "gaussian-max": 0.5}},
    "lr": 0.01,
    "model": "baseline_cnn",
    "resume": None,
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database for the module, since MLflow takes seconds to create its tables."""
    return tmp_path_factory.mktemp("store") / "new" / "mlflow.db"


@pytest.fixture
def client(database: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    uri = f"sqlite:///{database}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(uri)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


def begin(folder: Path, run_id: str | None = None, **tracking: object):  # type: ignore[no-untyped-def]
    quiet = Tracking(**{"system_metrics_every_s": 0.0, **tracking})
    return tracked_run(quiet, folder, "first try", SETTINGS, "train lr=0.01", [DATASET], {"git": "abc"}, run_id)


def network() -> nn.Module:
    return MODELS["baseline_cnn"]().build(28, 43, (0.3, 0.3, 0.3), (0.2, 0.2, 0.2), 0)


def history(client: MlflowClient, run: TrackedRun, key: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in client.get_metric_history(run.run_id, key)]


def artefact(client: MlflowClient, run_id: str, path: str, folder: Path) -> bytes:
    folder.mkdir()
    return Path(client.download_artifacts(run_id, path, str(folder))).read_bytes()


def assert_tells_all(stored: Run) -> None:
    assert stored.info.run_name == "first try"
    assert stored.data.params == {
        "data.mixture.clean": "1.0", "data.mixture.gaussian-max": "0.5", "lr": "0.01", "model": "baseline_cnn",
        "resume": "null",
    }  # fmt: skip
    assert stored.data.tags["command"] == "train lr=0.01"
    assert stored.data.tags["git"] == "abc"
    (used,) = stored.inputs.dataset_inputs
    assert used.dataset.digest == DIGEST[:36]
    assert json.loads(used.dataset.source) == {"uri": DATASET.source, "content_digest": DIGEST}
    assert json.loads(used.dataset.profile) == {"rows": 31380, "content_digest": DIGEST, "size_px": 40}
    columns = json.loads(used.dataset.schema)["mlflow_colspec"]
    assert [(one["name"], one["type"]) for one in columns] == [("image", "binary"), ("label", "integer")]
    assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "train")]


def test_a_run_records_everything(client: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    figure = tmp_path / "figure.png"
    figure.write_bytes(b"a figure")
    with begin(tmp_path / "run") as run:
        run.log_metrics({"accuracy/gaussian-max": 0.25, "loss": torch.tensor(2.0)}, 0)
        run.log_metrics({"accuracy/gaussian-max": 0.5, "loss": float("nan")}, 1)
        run.log_file(figure, "figures")
        run.set_tags({"note": "a" * 9000})
    stored = client.get_run(run.run_id)
    assert_tells_all(stored)
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["note"] == "a" * 8000
    assert history(client, run, "accuracy/gaussian-max") == [(0, 0.25), (1, 0.5)]
    assert artefact(client, run.run_id, "figures/figure.png", tmp_path / "a") == b"a figure"
    assert json.loads(artefact(client, run.run_id, "settings.json", tmp_path / "b")) == SETTINGS
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("raised", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_the_status_says_how_a_run_ended(
    client: MlflowClient, tmp_path: Path, raised: type[BaseException], status: str
) -> None:
    with pytest.raises(raised), begin(tmp_path, register_as="unfinished") as run:
        raise raised
    assert client.get_run(run.run_id).info.status == status
    assert client.search_model_versions("name = 'unfinished'") == []


def test_artefacts_of_a_database_are_next_to_it(client: MlflowClient, database: Path, tmp_path: Path) -> None:
    with begin(tmp_path, experiment="beside") as run:
        pass
    assert (database.parent / "artifacts" / "beside" / run.run_id / "artifacts" / "settings.json").is_file()


def test_without_the_variable_runs_are_kept_in_mlruns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.tracking.server import tracking_uri

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert tracking_uri() == f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}"


def test_a_run_that_is_resumed_is_running_again_and_repeats_nothing(client: MlflowClient, tmp_path: Path) -> None:
    with pytest.raises(ValueError), begin(tmp_path) as run:
        run.log_metrics({"loss": 1.0}, 0)
        raise ValueError
    with begin(tmp_path, run.run_id) as again:
        again.log_metrics({"loss": 0.5}, 1)
        deadline = time.monotonic() + 20
        while client.get_run(run.run_id).info.status != "RUNNING" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.get_run(run.run_id).info.status == "RUNNING"
    assert again.run_id == run.run_id
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert history(client, run, "loss") == [(0, 1.0), (1, 0.5)]
    assert_tells_all(client.get_run(run.run_id))


def test_events_that_are_sent_again_change_nothing(client: MlflowClient, tmp_path: Path) -> None:
    """The whole journal is sent again, as after a kill between sending an event and recording it."""
    with begin(tmp_path, register_as="again") as run:
        run.log_metrics({"loss": 1.0, "accuracy": float("nan")}, 0)
        run.log_metrics({"loss": 0.5}, 1)
    before = client.get_run(run.run_id)
    journal = tmp_path / "tracking" / "journal.jsonl"
    lines = [line for line in journal.read_text().splitlines(keepends=True) if '"file":' not in line]
    journal.write_text("".join(lines))
    (tmp_path / "tracking" / "sent").unlink()
    with reopened_run(tmp_path, run.run_id):
        pass
    after = client.get_run(run.run_id)
    assert history(client, run, "loss") == [(0, 1.0), (1, 0.5)]
    assert len(client.get_metric_history(run.run_id, "accuracy")) == 1
    assert (after.info.status, after.info.end_time) == (before.info.status, before.info.end_time)
    assert_tells_all(after)


def test_a_reopened_run_stays_finished(client: MlflowClient, tmp_path: Path) -> None:
    with begin(tmp_path / "run") as run:
        pass
    before = client.get_run(run.run_id).info
    with reopened_run(tmp_path / "evaluation", run.run_id) as again:
        again.log_metrics({"f1/salt_pepper-avg": 0.75})
    after = client.get_run(run.run_id)
    assert (after.info.status, after.info.end_time) == ("FINISHED", before.end_time)
    assert after.data.metrics == {"f1/salt_pepper-avg": 0.75}


def test_a_run_whose_process_was_killed_is_marked_as_ended(client: MlflowClient, tmp_path: Path) -> None:
    with begin(tmp_path / "run") as finished:
        pass
    killed = client.create_run("0").info.run_id
    for run_id in (finished.run_id, killed, killed):
        end_run(run_id)
    assert [client.get_run(run_id).info.status for run_id in (finished.run_id, killed)] == ["FINISHED", "KILLED"]
    deleted = client.create_run("0").info.run_id
    client.delete_run(deleted)
    for run_id in (deleted, "0" * 32):  # a batch must not fail for what somebody has tidied away
        end_run(run_id)
    assert client.get_run(deleted).info.status == "RUNNING"


def test_a_run_whose_id_never_arrived_is_taken_up_by_the_next_process(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the request was lost, or the process was killed before it had noted the id."""
    create = Server.create_run

    def lost(*given: str) -> Run:
        create(*given)
        raise UnreachableError("no answer")

    for step, (owner, name, replacement) in enumerate(
        [(Server, "create_run", lost), (TrackedRun, "_begin", lambda *_: 1 / 0)]
    ):
        folder, experiment = tmp_path / str(step), f"lost {step}"
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, replacement)
            with pytest.raises((UnreachableError, ZeroDivisionError)), begin(folder, experiment=experiment):
                pass
        for again in range(2):  # a finished run is not taken up
            with begin(folder, experiment=experiment) as run:
                run.log_metrics({"loss": 0.5})
            there = client.get_experiment_by_name(experiment)
            assert there is not None
            runs = client.search_runs([there.experiment_id])
            assert [one.info.status for one in runs] == ["FINISHED"] * (again + 1)
            assert client.get_run(run.run_id).data.params["lr"] == "0.01"


def test_a_model_is_loaded_without_our_code_and_predicts_the_same(client: MlflowClient, tmp_path: Path) -> None:
    original, images = network(), torch.rand((5, 3, 28, 28), generator=torch.Generator().manual_seed(1))
    original.train()
    with begin(tmp_path, register_as="signs") as run:
        run.log_model(original, images[:1])
    assert original.training, "logging must not change the network"
    (version,) = client.search_model_versions("name = 'signs'")
    assert version.run_id == run.run_id
    (model,) = client.search_logged_models([client.get_run(run.run_id).info.experiment_id])
    folder = Path(version.source.removeprefix("file://"))
    assert not list(folder.rglob("*.pkl")) and not list(folder.rglob("*.pth"))
    signature = get_model_info(str(folder)).signature
    assert str(signature.inputs) == "[Tensor('float32', (-1, 3, 28, 28))]"
    assert str(signature.outputs) == "[Tensor('float32', (-1, 43))]"
    assert (folder / "input_example.json").is_file()
    assert model.status == "READY"
    loaded = pytorch.load_model(str(folder))
    torch.testing.assert_close(loaded(images), original.eval()(images))


def test_models_are_found_by_run_name_alias_and_path(client: MlflowClient, tmp_path: Path) -> None:
    runs = []
    for content in (b"old", b"new"):
        (tmp_path / "model.pt").write_bytes(content)
        with begin(tmp_path / content.decode(), experiment="found", register_as="found") as run:
            run.log_model(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.rand(2, 3, 2, 2))
            run.log_file(tmp_path / "model.pt", "checkpoint")
        runs.append(run.run_id)
    with begin(tmp_path / "later without a checkpoint", experiment="found"):
        pass
    client.set_registered_model_alias("found", "champion", "1")
    references = ["latest", runs[0], "models:/found@champion", "models:/found/2", str(tmp_path / "model.pt")]
    found = find_models(references, "found", tmp_path / "cache")
    assert [model.reference for model in found] == references
    assert [model.run_id for model in found] == [runs[1], runs[0], runs[0], runs[1], None]
    assert [model.path.read_bytes() for model in found] == [b"new", b"old", b"old", b"new", b"new"]
    assert [model.name for model in found] == ["first try"] * 4 + ["model"]
    for unknown in ("0" * 32, "models:/found@challenger", "models:/found/7", "models:/lost/1", "models:/found"):
        with pytest.raises(TrackingError) as error:
            find_models([unknown], "found")
        assert unknown in str(error.value)
        assert f"{runs[1]}  first try  FINISHED" in str(error.value)
        assert "models:/found/2, models:/found@champion" in str(error.value)


def test_the_model_of_a_run_folder_is_named_as_its_run(tmp_path: Path) -> None:
    with hold_run_folder(tmp_path, "never", "sign_net-48px-seed0", "0a" * 32, "command") as folder:
        shutil.copyfile(__file__, folder.model)
        other = folder.path / "other.pt"
        shutil.copyfile(__file__, other)
        moved = tmp_path / "model.pt"
        shutil.copyfile(__file__, moved)
        found = find_models([str(folder.model), str(other), str(moved)])
    assert [model.name for model in found] == ["sign_net-48px-seed0", "other", "model"]


def test_latest_needs_a_checkpoint(client: MlflowClient, tmp_path: Path) -> None:
    with begin(tmp_path, experiment="no checkpoint"):
        pass
    with pytest.raises(TrackingError, match=r"no finished run of experiment no checkpoint has a checkpoint/model\.pt"):
        find_models(["latest"], "no checkpoint")
    with pytest.raises(TrackingError, match=r"none; jobs/train_classifier\.py and jobs/train_gan\.py make them"):
        find_models(["latest"], "no such experiment")
    with pytest.raises(TrackingError, match=r"lost\.pt: no such file"):
        find_models(["lost.pt"])


def test_an_unknown_run_cannot_be_resumed(client: MlflowClient, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="knows no run 0000"), begin(tmp_path, "0" * 32):
        pass


def test_the_machine_is_sampled(client: MlflowClient, tmp_path: Path) -> None:
    with begin(tmp_path, system_metrics_every_s=0.2) as run:
        time.sleep(0.7)
    metrics = client.get_run(run.run_id).data.metrics
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= metrics.keys()
    assert "system/network_receive_megabytes" in metrics
    samples: list[Metric] = client.get_metric_history(run.run_id, "system/cpu_utilization_percentage")
    assert len(samples) >= 2


def test_settings_are_flattened_to_what_mlflow_takes() -> None:
    deep = {"a": {"b": {}, "list": [1, "x"]}, "long": "x" * 7000, "k" * 300: 1, "yes": True, "text": "true"}
    flat = flattened(deep)
    assert flat.pop("long") == "x" * 5999 + "…"
    assert flat == {"a.b": "{}", "a.list": '[1, "x"]', "yes": "true", "text": "true"}


def test_an_unreachable_server_is_named_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    began = time.monotonic()
    for attempt in (lambda: begin(tmp_path).__enter__(), lambda: find_models(["latest"])):
        with pytest.raises(
            UnreachableError, match=r"127\.0\.0\.1:9.*mlflow server.*unset MLFLOW_TRACKING_URI"
        ) as error:
            attempt()
        assert isinstance(error.value, RoadsignError)
    assert time.monotonic() - began < 8


def test_a_server_takes_a_run_with_its_model(
    server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    (tmp_path / "model.pt").write_bytes(bytes(range(256)) * 1000)
    original, images = network(), torch.rand(2, 3, 28, 28)
    with begin(tmp_path / "run", register_as="signs") as run:
        run.log_metrics({"accuracy/gaussian-max": 0.25}, 0)
        run.log_file(tmp_path / "model.pt", "checkpoint")
        run.log_model(original, images)
    client = MlflowClient(server.uri)
    assert_tells_all(client.get_run(run.run_id))
    assert client.get_run(run.run_id).info.status == "FINISHED"
    client.set_registered_model_alias("signs", "champion", "1")
    (found,) = find_models(["models:/signs@champion"])
    assert found.run_id == run.run_id
    assert found.path.read_bytes() == (tmp_path / "model.pt").read_bytes()
    assert capsys.readouterr().out == ""
