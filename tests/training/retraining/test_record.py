from pathlib import Path

import pytest

from training.loop.run_folder import RunFolder
from training.retraining.decision import sha256
from training.retraining.record import BatchError, Decided, RetrainingBatch


def write_run(folder: Path, **record: object) -> Path:
    folder.mkdir(parents=True)
    RunFolder(folder).add_to_record(**record)
    return folder


def test_a_seed_is_trained_when_one_of_its_runs_was_trained_to_its_end(tmp_path: Path) -> None:
    batch = RetrainingBatch(tmp_path / "b-1")
    assert batch.finished_run(0) is None
    write_run(batch.runs_of(0) / "first", run_id="a")
    assert batch.finished_run(0) is None
    second = write_run(batch.runs_of(0) / "second", run_id="b", finished="2026-01-01")
    found = batch.finished_run(0)
    assert found is not None and found.path == second
    assert batch.finished_run(1) is None


def test_a_folder_without_a_whole_record_does_not_stop_a_batch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    batch = RetrainingBatch(tmp_path / "b-1")
    (batch.runs_of(0) / "left").mkdir(parents=True)
    (batch.runs_of(0) / "empty").mkdir()
    (batch.runs_of(0) / "empty" / "run.json").touch()
    done = write_run(batch.runs_of(0) / "whole", run_id="b", finished=True)
    found = batch.finished_run(0)
    assert found is not None and found.path == done
    assert RetrainingBatch(tmp_path / "c-1").overtaken() == []
    for name in ("left", "empty"):
        assert f"{batch.runs_of(0) / name}: skipped" in caplog.text


def test_overtaken_are_the_tracked_runs_that_other_batches_have_not_finished(tmp_path: Path) -> None:
    earlier, batch = RetrainingBatch(tmp_path / "a-1"), RetrainingBatch(tmp_path / "b-1")
    assert batch.overtaken() == []
    write_run(earlier.runs_of(0) / "done", run_id="finished", finished="2026-01-01")
    write_run(earlier.runs_of(1) / "killed", run_id="killed")
    write_run(earlier.runs_of(2) / "killed before it was tracked")
    write_run(batch.runs_of(0) / "own", run_id="own")
    assert batch.overtaken() == ["killed"]
    assert earlier.overtaken() == ["own"]


def test_a_decision_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    batch = RetrainingBatch(tmp_path / "b-1")
    batch.folder.mkdir()
    decided = Decided(None, "1", True, "Promoted: there was no champion.", "run")
    batch.decide(decided)
    assert RetrainingBatch(tmp_path / "b-1").decided == decided
    (batch.folder / "batch.json").write_text("{")
    with pytest.raises(BatchError, match=r"batch\.json: not readable .*; remove it"):
        _ = batch.decided


def test_a_document_that_was_changed_after_the_decision_is_not_carried_out(tmp_path: Path) -> None:
    batch = RetrainingBatch(tmp_path / "b-1")
    written = b'{"verdict":"promoted"}\n'
    batch.keep_document(written)
    decided = Decided(None, "1", True, "Promoted.", "run", sha256(written), "96.4%")
    batch.decide(decided)
    assert RetrainingBatch(tmp_path / "b-1").decided == decided
    batch.document.write_bytes(written.replace(b"promoted", b"refused"))
    with pytest.raises(
        BatchError, match=rf"decision\.json: is not what was decided, its SHA-256 is not {decided.sha256}"
    ):
        _ = batch.decided
    batch.document.unlink()
    with pytest.raises(BatchError, match=r"decision\.json: missing; remove .*batch\.json to repeat"):
        _ = batch.decided
