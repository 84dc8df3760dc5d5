"""MLflow's database: how a new one appears, and what is said of one that is not whole, moved, or somewhere else."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from threading import Barrier, Thread

import pytest
from mlflow import MlflowClient

from training.tracking import Registry, Tracking, TrackingError, find_models, tracked_run
from training.tracking.database import database_of, prepare, uri_of
from training.tracking.server import tracking_uri

TRAIN = """
import sys
from training.tracking.server import Server
print("begins", flush=True)
Server(sys.argv[1])
"""


@pytest.fixture
def database(empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "project" / "mlruns" / "mlflow.db"
    copy.parent.mkdir(parents=True)
    shutil.copy(empty_mlflow, copy)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy}")
    return copy


def use(monkeypatch: pytest.MonkeyPatch, database: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")


def finished_run(folder: Path, experiment: str = "classifiers") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pt").write_bytes(b"a model")
    tracking = Tracking(experiment=experiment, system_metrics_every_s=0.0)
    with tracked_run(tracking, folder, "a run", {}, "train", [], {}) as run:
        run.log_file(folder / "model.pt", "checkpoint")
    return run.run_id


def tables_of(empty_mlflow: Path) -> list[str]:
    with sqlite3.connect(empty_mlflow) as connection:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND sql NOT NULL")
        return [sql for (sql,) in rows if "sqlite_" not in sql]


def test_a_new_database_is_complete_without_other_files(empty_mlflow: Path) -> None:
    assert [path.name for path in empty_mlflow.parent.iterdir()] == ["mlflow.db"]
    assert len(tables_of(empty_mlflow)) > 20


@pytest.mark.parametrize("statements", [1, 5, 20])
def test_an_incomplete_database_is_named_with_the_remedy(
    empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: int
) -> None:
    half = tmp_path / "mlflow.db"
    with sqlite3.connect(half) as connection:
        for sql in tables_of(empty_mlflow)[:statements]:
            connection.execute(sql)
    use(monkeypatch, half)
    for attempt in (lambda: find_models(["latest"]), lambda: Registry("signs")):
        with pytest.raises(
            TrackingError, match=r"mlflow\.db: incomplete.*nothing is lost: mv '.*mlflow\.db' '"
        ) as error:
            attempt()
        assert len(str(error.value).splitlines()) == 1
    assert half.is_file(), "it is the user's to remove"


def test_an_incomplete_temporary_database_is_removed(empty_mlflow: Path, tmp_path: Path) -> None:
    left = tmp_path / ".mlflow.db.partial-killed"
    left.mkdir()
    (left / "mlflow.db").write_bytes(b"half")
    prepare(tmp_path / "mlflow.db", lambda path: bool(shutil.copy(empty_mlflow, path)) and None)
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    assert (tmp_path / "mlflow.db").read_bytes() == empty_mlflow.read_bytes()


def test_an_interrupted_creation_leaves_no_database(tmp_path: Path) -> None:
    def interrupted(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "mlflow.db", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_two_simultaneous_starts_create_one_database(empty_mlflow: Path, tmp_path: Path) -> None:
    made, begin = [], Barrier(2)

    def make(path: Path) -> None:
        shutil.copy(empty_mlflow, path)
        made.append(path)

    def first_start() -> None:
        begin.wait(30)
        prepare(tmp_path / "mlflow.db", make)

    threads = [Thread(target=first_start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(made) == 1
    assert (tmp_path / "mlflow.db").read_bytes() == empty_mlflow.read_bytes()


def test_another_programs_database_that_appears_meanwhile_is_kept(empty_mlflow: Path, tmp_path: Path) -> None:
    def late(path: Path) -> None:
        shutil.copy(empty_mlflow, path)
        (tmp_path / "mlflow.db").write_bytes(b"made by another program")

    prepare(tmp_path / "mlflow.db", late)
    assert (tmp_path / "mlflow.db").read_bytes() == b"made by another program"


@pytest.mark.slow
def test_kill_9_at_the_first_start_does_not_stop_the_next(tmp_path: Path) -> None:
    database = tmp_path / "mlruns" / "mlflow.db"
    command = [sys.executable, "-c", TRAIN, f"sqlite:///{database}"]
    killed_at_work = 0
    for wait_s in (0.1, 0.5, 1.5, 3.0):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as job:
            assert job.stdout is not None
            assert job.stdout.readline() == b"begins\n"
            deadline = time.monotonic() + 60
            while not list(database.parent.glob(".mlflow.db.partial-*/mlflow.db")) and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(wait_s)
            os.kill(job.pid, signal.SIGKILL)
        killed_at_work += not database.exists()
        if database.exists():
            break
    assert killed_at_work >= 2
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    assert [path.name for path in database.parent.iterdir()] == ["mlflow.db"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no database " * 100, "file is not a database"), (None, "not a file")],
)
def test_a_file_that_is_not_a_database_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    path = tmp_path / "mlflow.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    use(monkeypatch, path)
    with pytest.raises(TrackingError, match=message) as error:
        find_models(["latest"])
    assert str(path) in str(error.value) and len(str(error.value).splitlines()) == 1


def test_a_cut_database_is_named(database: Path) -> None:
    os.truncate(database, 100_000)
    with pytest.raises(TrackingError, match=r"mlflow\.db: .*malformed"):
        find_models(["latest"])


@pytest.mark.parametrize("folder", ["a b", "Übung", "run #2", "a+b;c&d=e"])
def test_database_paths_are_taken_as_they_are(
    empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    place = tmp_path / folder
    (place / "mlruns").mkdir(parents=True)
    shutil.copy(empty_mlflow, place / "mlruns" / "mlflow.db")
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run_id = finished_run(place / "run")
    assert [path.name for path in tmp_path.iterdir()] == [folder], "nothing goes elsewhere"
    assert len(list((place / "mlruns" / "artifacts").rglob("model.pt"))) == 1
    (found,) = find_models([run_id], folder=tmp_path / "found")
    assert found.path.read_bytes() == b"a model"


@pytest.mark.parametrize("folder", ["what?", "50%", "a%20b"])
def test_database_paths_that_an_address_cannot_have_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(TrackingError, match="in its name; start the job in another folder, or set MLFLOW_TRACKING_URI"):
        find_models(["latest"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / folder / 'mlflow.db'}")
    with pytest.raises(TrackingError, match="MLFLOW_TRACKING_URI=sqlite"):
        find_models(["latest"])
    assert [path.name for path in tmp_path.rglob("*")] == [folder]


def test_database_paths_and_addresses_belong_together(tmp_path: Path) -> None:
    assert database_of(uri_of(tmp_path / "a b" / "x.db")) == tmp_path / "a b" / "x.db"
    assert database_of(f"sqlite:///{tmp_path}/x.db?timeout=30") == tmp_path / "x.db"
    assert database_of("http://server:5000") is None
    for nowhere in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
        with pytest.raises(TrackingError, match="names no file"):
            database_of(nowhere)


def test_a_project_that_was_moved_names_the_folder_that_is_missing(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = finished_run(tmp_path / "project" / "run")
    moved = tmp_path / "moved"
    (tmp_path / "project").rename(moved)
    use(monkeypatch, moved / "mlruns" / "mlflow.db")
    for reference in ("latest", run_id):
        with pytest.raises(TrackingError) as error:
            find_models([reference])
        first = str(error.value).splitlines()[0]
        assert f"keep files in {tmp_path / 'project'}, which does not exist" in first
        assert f"ln -s <where it is now> {tmp_path / 'project'}" in first
    (tmp_path / "project").symlink_to(moved)
    assert find_models(["latest"], folder=tmp_path / "found")[0].run_id == run_id


def test_files_that_go_outside_the_project_are_warned_of(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    finished_run(tmp_path / "project" / "run")
    assert "warning" not in caplog.text
    shutil.copytree(tmp_path / "project", tmp_path / "copy")
    use(monkeypatch, tmp_path / "copy" / "mlruns" / "mlflow.db")
    finished_run(tmp_path / "copy" / "second")
    assert f"keeps its files outside, in {database.parent / 'artifacts' / 'classifiers'}" in caplog.text


def test_a_deleted_experiment_is_named_with_the_command_that_brings_it_back(database: Path, tmp_path: Path) -> None:
    client = MlflowClient(tracking_uri())
    number = client.create_experiment("classifiers")
    client.delete_experiment(number)
    for attempt in (lambda: finished_run(tmp_path / "run"), lambda: find_models(["latest"])):
        with pytest.raises(TrackingError, match=rf"classifiers was deleted.*restore --experiment-id {number}"):
            attempt()
    client.restore_experiment(number)
    finished_run(tmp_path / "run")


def test_an_experiment_may_be_called_by_a_number(database: Path, tmp_path: Path) -> None:
    run_id = finished_run(tmp_path / "run", "2024")
    assert [found.run_id for found in find_models(["latest"], "2024", tmp_path / "found")] == [run_id]


@pytest.mark.parametrize("name", ["../../../x", "/etc", "..", "a/../..", "."])
def test_experiment_paths_stay_inside_mlruns(database: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(TrackingError, match=r"tracking\.experiment=.*leads out of"):
        finished_run(tmp_path / "run", name)
    assert MlflowClient(tracking_uri()).get_experiment_by_name(name) is None


def test_a_database_that_cannot_be_written_is_named(database: Path, tmp_path: Path) -> None:
    with sqlite3.connect(database) as connection:  # to root, who may write everywhere, SQLite's own refusal
        connection.execute(
            "CREATE TRIGGER t BEFORE INSERT ON experiments BEGIN SELECT RAISE(FAIL, 'readonly database'); END"
        )
    with pytest.raises(TrackingError, match=r"cannot be written .*give this user write permission there"):
        finished_run(tmp_path / "run")


def test_a_locked_database_is_reported_as_in_use(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{tracking_uri()}?timeout=0.1")
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(TrackingError, match=r"temporarily unavailable \(.*database is locked"):
            find_models(["latest"])
    finally:
        holder.close()


@pytest.mark.parametrize("reference", ["", "nonsense", "models:/", "models:/x/y/z@", "a" * 5000, "x\0y", "0" * 32])
def test_invalid_model_references_are_refused(database: Path, reference: str) -> None:
    with pytest.raises(TrackingError, match="none; jobs/train_classifier"):
        find_models([reference])


def test_the_folder_of_a_run_is_not_a_model(database: Path, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"no such file; use a checkpoint \(<run folder>/model\.pt\)"):
        find_models([str(tmp_path)])
