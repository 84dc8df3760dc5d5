import errno
import os
from pathlib import Path

import pytest
from held_runs import MINE, OTHER, begin

from training.loop.run_folder import RunError, RunFolder, hold_run_folder


def test_each_run_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = {begin(tmp_path / "runs").path for _ in range(3)}
    assert len(folders) == 3
    assert all(path.name.endswith("-net-40px-seed0-aaaaaa") for path in folders)
    record = RunFolder(min(folders)).record
    assert (record["fingerprint"], record["command"]) == (MINE, "python jobs/x.py")


def test_auto_resumes_the_latest_unfinished_run_of_the_same_settings(tmp_path: Path) -> None:
    begin(tmp_path)
    newest = begin(tmp_path)
    begin(tmp_path, OTHER)
    begin(tmp_path, finish=True)
    assert begin(tmp_path, resume="auto").path == newest.path


def test_auto_starts_a_run_where_there_is_none_to_resume(tmp_path: Path) -> None:
    finished = begin(tmp_path, finish=True)
    assert begin(tmp_path, resume="auto").path != finished.path


def test_a_folder_can_be_named(tmp_path: Path) -> None:
    older = begin(tmp_path)
    begin(tmp_path)
    assert begin(tmp_path, resume=str(older.path)).path == older.path


def test_what_cannot_be_resumed_is_refused(tmp_path: Path) -> None:
    folder = begin(tmp_path)
    with pytest.raises(RunError, match="has other settings"):
        begin(tmp_path, OTHER, resume=str(folder.path))
    with pytest.raises(RunError, match="nowhere: not a run folder; resume takes never, auto, or the folder of a run"):
        begin(tmp_path, resume="nowhere")
    finished = begin(tmp_path, finish=True)
    with pytest.raises(RunError, match=r"is finished; its model is .*model.pt"):
        begin(tmp_path, resume=str(finished.path))
    (folder.path / "run.json").write_text('{"fingerpr')
    with pytest.raises(RunError, match=r"run.json: not readable"):
        begin(tmp_path, resume=str(folder.path))


def test_only_one_process_can_hold_a_run(tmp_path: Path) -> None:
    with hold_run_folder(tmp_path, "never", "net", MINE, "") as folder:
        with pytest.raises(RunError, match="is being trained by another process"):
            begin(tmp_path, resume=str(folder.path))
        with pytest.raises(RunError, match="is being trained by another process"):
            begin(tmp_path, resume="auto")
    assert begin(tmp_path, resume="auto").path == folder.path


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file.*choose another runs_root"):
        begin(tmp_path / "file" / "runs")


@pytest.mark.parametrize("left", [None, b"", b"{", b"[]", b"5", b"\xff", b"[" * 9999])
def test_leftovers_of_a_kill_or_a_full_disk_are_not_skipped_silently(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, left: bytes | None
) -> None:
    whole, damaged = begin(tmp_path), begin(tmp_path)
    record = damaged.path / "run.json"
    if left is None:
        record.unlink()
    else:
        record.write_bytes(left)
    assert begin(tmp_path, resume="auto").path == whole.path
    assert f"{damaged.path}: skipped, its run.json is missing or incomplete" in caplog.text
    with pytest.raises(RunError, match=r"not readable|not the record of a run|not a run folder"):
        begin(tmp_path, resume=str(damaged.path))


def test_a_run_killed_at_its_start_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            begin(tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_full_disk_is_named_and_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = begin(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"No space left on device.*make room, or choose another runs_root"):
        begin(tmp_path)
    with pytest.raises(RunError, match=r"run\.json: cannot be written \(No space left on device\)"):
        before.add_to_record(finished=True)
    assert not before.finished
    assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == [before.path]


@pytest.mark.parametrize("resume", ["", "nonsense", "a" * 5000, "x\0y", "/etc/hostname", "/etc"])
def test_invalid_run_paths_are_refused(tmp_path: Path, resume: str) -> None:
    begin(tmp_path)
    with pytest.raises(RunError, match="resume"):
        begin(tmp_path, resume=resume)


def test_the_id_of_a_run_is_answered_with_its_folder(tmp_path: Path) -> None:
    folder = begin(tmp_path)
    folder.add_to_record(run_id="0123456789abcdef")
    with pytest.raises(RunError, match=f"is a run id; use its folder: resume={folder.path}"):
        begin(tmp_path, resume="0123456789abcdef")
