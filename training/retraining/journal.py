"""When batches started and how they ended: one line for each start and each end."""

import json
import os
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import RoadsignError

__all__ = ["Attempt", "Journal", "JournalError"]


class JournalError(RoadsignError):
    """The journal cannot be read or written."""


class Attempt(NamedTuple):
    """Times in seconds since 1970. An attempt that was killed has no end: `ended` and `exit_code` are None."""

    began: float
    ended: float | None = None
    exit_code: int | None = None
    batch_id: str = ""
    outcome: str = ""
    sentence: str = ""


class Journal:
    """Written by one process at a time: the holder of the lease."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, attempt: Attempt) -> None:
        """Raises JournalError."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                file.write(self._after_a_cut_line(file.tell()) + json.dumps(attempt._asdict()).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise JournalError(f"{self.path}: cannot be written ({error.strerror}); make room there") from None

    def last(self) -> Attempt | None:
        """The latest attempt, or None if there was none. A line that was cut by a kill is ignored. Raises
        JournalError."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise JournalError(f"{self.path}: cannot be read ({error.strerror})") from None
        for line in reversed(lines):
            try:
                return Attempt(**json.loads(line))
            except (ValueError, TypeError):
                continue
        return None

    def _after_a_cut_line(self, size: int) -> bytes:
        if size == 0:
            return b""
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return b"" if file.read(1) == b"\n" else b"\n"
