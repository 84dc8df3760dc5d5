"""A job that faults happen to: how it is run, what it makes, and what of that must not depend on faults."""

import json
import re
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from running import HangError, Place, Running

__all__ = ["Undisturbed", "Victim", "files_of"]

LONGEST_S = 1200.0
CHANGING = re.compile(r"\d{8}-\d{6}(\.\d+)?|[0-9a-f]{8,}")
"""Times and random ids in the names of files."""


class Undisturbed(NamedTuple):
    """A run that nobody disturbed: how long it took, what it made, and how many bytes it added."""

    seconds: float
    result: Any
    files: dict[str, int]
    added_bytes: int


class Victim:
    """A job. Every fault begins with a copy of what `prepare` has left in the working folder."""

    name: ClassVar[str]
    faults: ClassVar[tuple[str, ...]]
    repeats: ClassVar[bool] = False
    """Whether a second run after a finished one makes everything once more, as trainings do."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def prepare(self) -> None:
        """Makes inputs, and what is in the working folder before the job starts."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def begin(self, number: int) -> None:
        """Called before each fault, when the working folder is as `prepare` left it."""

    def end(self) -> None:
        """Called after each fault."""

    def close(self) -> None:
        """Ends what `prepare_again` has started."""

    def results(self) -> list[Any]:
        """What each finished run has made, as JSON: digests that faults must not change."""
        raise NotImplementedError

    def broken(self) -> list[str]:
        """What must never be seen, not even right after a fault: half a dataset, no champion."""
        return []

    def before_again(self) -> None:
        """What a user does, or waits for, before the same command is given again."""

    def afterwards(self) -> list[str]:
        """What is wrong with the whole, when the last run has succeeded."""
        return []

    def files(self) -> dict[str, int]:
        return files_of(self.place.out)

    @property
    def _kept(self) -> Path:
        return self.place.folder / "undisturbed" / self.name.replace(" ", "-")

    def undisturbed(self) -> Undisturbed:
        """Measured once for each soak, also if it is resumed."""
        known = self._kept / "undisturbed.json"
        self.prepare_again()
        if not known.exists():
            self._measure(known)
        return Undisturbed(**json.loads(known.read_text()))

    def prepare_again(self) -> None:
        """Starts what a job needs besides files, a server for example; called once by each process of the soak."""

    def reset(self) -> None:
        """An empty folder for temporary files, and the working folder as `prepare` left it."""
        shutil.rmtree(self.place.work, ignore_errors=True)
        self.place.tmp.mkdir(parents=True)
        shutil.copytree(self._kept / "out", self.place.out, symlinks=True)

    def start(self, log: str, more: dict[str, str] | None = None, before: tuple[str, ...] = ()) -> Running:
        """`before` stands before the command, as `nice` does."""
        command = [*before, *self.command()]
        return Running(self.place, command, self.place.work / log, {**self.environment(), **(more or {})})

    def _measure(self, known: Path) -> None:
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.rmtree(self.place.work, ignore_errors=True)
        self.place.tmp.mkdir(parents=True)
        self.place.out.mkdir()
        self.place.inputs.mkdir(exist_ok=True)
        self.prepare()
        shutil.copytree(self.place.out, self._kept / "out", symlinks=True)
        self.begin(-1)
        bytes_before = _bytes(self.place.out)
        began = time.monotonic()
        job = self.start("undisturbed.log")
        code = job.end(LONGEST_S)
        seconds = time.monotonic() - began
        found = self.results()
        if code or len(found) != 1:
            raise HangError(f"{self.name}: cannot even run undisturbed ({code}): {job.said()[-3000:]}")
        added = _bytes(self.place.out) - bytes_before
        facts = Undisturbed(seconds, found[0], self.files(), added)
        self.end()
        draft = known.with_suffix(".partial")
        draft.write_text(json.dumps(facts._asdict(), indent=1))
        draft.rename(known)


def files_of(folder: Path) -> dict[str, int]:
    """How many files there are of each name, without the times and ids in names."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return dict(sorted(Counter(CHANGING.sub("#", name) for name in names).items()))


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
