"""jobs/sync_tracking.py without a server; tests/faults/test_dead_tracking_server.py has tests with one."""

from pathlib import Path
from types import ModuleType

import pytest

from training.tracking import Spool


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A run's folder with two events for an unreachable server."""
    with Spool.opened(tmp_path / "run" / "tracking") as spool:
        spool.about = {"uri": "http://127.0.0.1:9", "run_id": "r"}
        for step in range(2):
            spool.append(do="metrics", run_id="r", metrics={"loss": 1.0}, step=step, at_ms=0)
    return tmp_path


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_nothing_to_send_is_said(sync_tracking: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sync_tracking.main([f"runs_root={tmp_path}"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}: nothing to send\n"


def test_a_folder_that_is_not_there_is_named(
    sync_tracking: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync_tracking.main([f"runs_root={tmp_path / 'lost'}"]) == 1
    assert "lost: no such folder" in capsys.readouterr().err


def test_a_dry_run_says_what_it_would_send(
    sync_tracking: ModuleType, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync_tracking.main(["--dry-run", f"runs_root={kept}"]) == 0
    assert "2 events to send to http://127.0.0.1:9" in capsys.readouterr().out
    assert Spool(kept / "run" / "tracking").unsent() == 2


def test_a_server_that_is_not_there_is_named_and_nothing_is_lost(
    sync_tracking: ModuleType, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync_tracking.main([f"runs_root={kept}"]) == 1
    assert capsys.readouterr().err.startswith("error: http://127.0.0.1:9: no tracking server")
    assert Spool(kept / "run" / "tracking").unsent() == 2


def test_a_run_that_is_still_in_progress_is_left_alone(
    sync_tracking: ModuleType, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Spool.opened(kept / "run" / "tracking"):
        assert sync_tracking.main([f"runs_root={kept}"]) == 0
    assert "still in progress" in capsys.readouterr().out


def test_a_damaged_spool_does_not_delay_the_others(
    sync_tracking: ModuleType, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = kept / "a" / "tracking"
    damaged.mkdir(parents=True)
    (damaged / "journal.jsonl").write_text("?\n")
    assert sync_tracking.main(["--dry-run", f"runs_root={kept}"]) == 1
    said = capsys.readouterr()
    assert "2 events to send to http://127.0.0.1:9" in said.out
    assert said.err == f"error: {damaged / 'journal.jsonl'}: corrupt before byte 2; remove that line\n"


def test_no_password_is_sent_to_a_server_named_in_a_folder(
    sync_tracking: ModuleType, kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    assert sync_tracking.main([f"runs_root={kept}"]) == 1
    assert (
        "is for http://127.0.0.1:9, but MLFLOW_TRACKING_PASSWORD is set; set MLFLOW_TRACKING_URI"
        in capsys.readouterr().err
    )
