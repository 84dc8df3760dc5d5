"""Run folders in the bucket of an S3 server; each job has a temporary folder of its own, as on another machine."""

import tempfile
from pathlib import Path

import pytest
from held_runs import MINE, OTHER, begin
from upath import UPath

from pipelines.errors import StoreError
from pipelines.places import below
from pipelines.store.remote_copy import shown
from training.loop.run_folder import RunError, RunFolder, hold_run_folder


@pytest.fixture
def another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def names(root: UPath) -> set[str]:
    return {path.partition("/")[0] for path in below(root)}


def test_a_run_is_sent_and_its_copy_is_removed(root: UPath, another_machine: Path) -> None:
    with hold_run_folder(root, "never", "net", MINE, "python jobs/x.py") as folder:
        folder.checkpoint.write_bytes(b"after epoch 1")
        assert folder.copy is not None
        folder.copy.send_later()
        (name,) = names(root)
        assert (root / name / "checkpoint.pt").read_bytes() == b"after epoch 1"
        folder.model.write_bytes(b"weights")
        folder.add_to_record(finished=True)
    assert sorted(below(root / name)) == ["checkpoint.pt", "model.pt", "run.json"]
    assert (root / name / "model.pt").read_bytes() == b"weights"
    assert not [path for path in another_machine.rglob("*") if path.is_file() and path.name != "run.json"]


def test_auto_resumes_the_latest_unfinished_run_with_its_files(root: UPath, another_machine: Path) -> None:
    begin(root)
    with hold_run_folder(root, "never", "net-40px-seed0", MINE, "") as newest:
        newest.checkpoint.write_bytes(b"half way")
    begin(root, OTHER)
    begin(root, finish=True)
    with hold_run_folder(root, "auto", "net", MINE, "") as folder:
        assert folder.path.name == newest.path.name
        assert folder.checkpoint.read_bytes() == b"half way"
    assert len(names(root)) == 4


def test_a_folder_can_be_named_by_its_url(root: UPath, another_machine: Path) -> None:
    older = shown(begin(root).path)
    begin(root)
    assert shown(begin(root, resume=older).path) == older
    with pytest.raises(RunError, match=f"{older}: has other settings"):
        begin(root, OTHER, resume=older)
    with pytest.raises(RunError, match="nowhere: not a run folder; resume takes never, auto, or the folder of a run"):
        begin(root, resume=f"{root}/nowhere")
    finished = shown(begin(root, finish=True).path)
    with pytest.raises(RunError, match=f"{finished}: is finished; its model is {finished}/model.pt"):
        begin(root, resume=finished)


def test_only_one_machine_can_hold_a_run(root: UPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hold_run_folder(root, "never", "net", MINE, "") as folder:
        name = shown(folder.path)
        with monkeypatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(tmp_path))
            with pytest.raises(StoreError, match=rf"{name}: another run is writing here \(process .*try again in"):
                begin(root, resume="auto")
    assert shown(begin(root, resume="auto").path) == name


def test_a_failed_run_keeps_its_files(root: UPath, another_machine: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold_run_folder(root, "never", "net", MINE, "") as folder:
        folder.checkpoint.write_bytes(b"half way")
        raise ZeroDivisionError
    assert RunFolder(folder.path).copy is not None
    assert (root / folder.path.name / "checkpoint.pt").read_bytes() == b"half way"
