import os
from pathlib import Path

import pytest

from training.retraining.journal import Attempt, Journal, JournalError


def test_a_missing_journal_has_no_attempts(tmp_path: Path) -> None:
    assert Journal(tmp_path / "journal.jsonl").last() is None


def test_the_last_attempt_is_the_one_that_was_written_last(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "journal.jsonl")
    for attempt in (Attempt(1.0), Attempt(1.0, 2.0, 0, "a1", "promoted", "Promoted: “better”.\nYes."), Attempt(3.5)):
        journal.write(attempt)
        assert journal.last() == attempt
    assert len(journal.path.read_text().splitlines()) == 3


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_a_line_cut_by_a_kill_is_ignored_and_damages_no_other(tmp_path: Path, cut: int) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write(Attempt(1.0, 2.0, 0, "a1"))
    whole = journal.path.stat().st_size
    journal.write(Attempt(5.0))
    os.truncate(journal.path, whole + cut)
    assert journal.last() == Attempt(1.0, 2.0, 0, "a1")
    journal.write(Attempt(9.0))
    assert journal.last() == Attempt(9.0)


def test_a_journal_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"file/journal\.jsonl: cannot be written"):
        Journal(tmp_path / "file" / "journal.jsonl").write(Attempt(1.0))
