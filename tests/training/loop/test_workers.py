"""Processes that share a queue; tests/faults/test_grids.py kills their parent."""

from pathlib import Path

from recording_work import RecordingWork

from training.loop.workers import run_in_workers

MORE_THAN_A_PIPE_HOLDS = 1_000_000


def test_all_items_are_worked_on_and_no_worker_waits_for_another_to_start(tmp_path: Path) -> None:
    run_in_workers(RecordingWork(tmp_path, bytes(MORE_THAN_A_PIPE_HOLDS)), range(6), workers=3)
    assert sorted(path.name for path in tmp_path.glob("item-*")) == [f"item-{number}" for number in range(6)]
    times = [[float(value) for value in path.read_text().split()] for path in tmp_path.glob("worker-*")]
    created, began = zip(*times, strict=True)
    assert len(times) == 3
    assert max(created) < min(began), "all are there before the first one has imported what it needs"


def test_there_are_no_more_workers_than_items(tmp_path: Path) -> None:
    run_in_workers(RecordingWork(tmp_path), [7], workers=4)
    assert [path.name for path in tmp_path.glob("item-*")] == ["item-7"]
    assert len(list(tmp_path.glob("worker-*"))) == 1
