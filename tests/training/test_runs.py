from pathlib import Path

import pytest

from training.runs import RunError, RunFolder, hold_run_folder

MINE, OTHER = "a" * 64, "a" * 6 + "b" * 58  # whose folders' names end alike


def begin(root: Path, fingerprint: str = MINE, resume: str = "never", finish: bool = False) -> RunFolder:
    with hold_run_folder(root, resume, "net-40px-seed0", fingerprint, "python jobs/x.py") as folder:
        if finish:
            folder.add_to_record(finished=True)
        return folder


def test_each_run_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = {begin(tmp_path / "runs").path for _ in range(3)}
    assert len(folders) == 3
    assert all(path.name.endswith("-net-40px-seed0-aaaaaa") for path in folders)
    record = RunFolder(min(folders)).record
    assert (record["fingerprint"], record["command"]) == (MINE, "python jobs/x.py")


def test_auto_goes_on_with_the_newest_unfinished_run_of_the_same_settings(tmp_path: Path) -> None:
    begin(tmp_path)
    newest = begin(tmp_path)
    begin(tmp_path, OTHER)
    begin(tmp_path, finish=True)
    assert begin(tmp_path, resume="auto").path == newest.path


def test_auto_begins_anew_where_there_is_nothing_to_go_on_with(tmp_path: Path) -> None:
    finished = begin(tmp_path, finish=True)
    assert begin(tmp_path, resume="auto").path != finished.path


def test_a_folder_can_be_named(tmp_path: Path) -> None:
    older = begin(tmp_path)
    begin(tmp_path)
    assert begin(tmp_path, resume=str(older.path)).path == older.path


def test_what_cannot_be_resumed_is_refused(tmp_path: Path) -> None:
    folder = begin(tmp_path)
    with pytest.raises(RunError, match="is of other settings"):
        begin(tmp_path, OTHER, resume=str(folder.path))
    with pytest.raises(RunError, match="nowhere: no run; resume takes never, auto, or the folder of a run"):
        begin(tmp_path, resume="nowhere")
    finished = begin(tmp_path, finish=True)
    with pytest.raises(RunError, match=r"has finished; its model is .*model.pt"):
        begin(tmp_path, resume=str(finished.path))
    (folder.path / "run.json").write_text('{"fingerpr')
    with pytest.raises(RunError, match=r"run.json: not readable"):
        begin(tmp_path, resume=str(folder.path))


def test_a_run_is_one_processs_at_a_time(tmp_path: Path) -> None:
    with hold_run_folder(tmp_path, "never", "net", MINE, "") as folder:
        with pytest.raises(RunError, match="is being trained by another process"):
            begin(tmp_path, resume=str(folder.path))
        with pytest.raises(RunError, match="is being trained by another process"):
            begin(tmp_path, resume="auto")
    assert begin(tmp_path, resume="auto").path == folder.path


def test_a_place_where_nothing_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file.*choose another runs_root"):
        begin(tmp_path / "file" / "runs")
