"""What a run has to tell a tracking server, kept on disk until it has been told; knows nothing of the server itself."""

import contextlib
import fcntl
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipelines.errors import RoadsignError

__all__ = [
    "Event",
    "Receiver",
    "RefusedError",
    "Sender",
    "Spool",
    "SpoolBusyError",
    "TrackingError",
    "UnreachableError",
]

Event = dict[str, Any]
"""Plain data: `do` says what it is, `run_id` of which run, `file` (where there is one) names a copy in the spool."""

JOURNAL = "journal.jsonl"
EVENTS_PER_BATCH = 100
POLL_S = 0.5
LONGEST_PAUSE_S = 60.0


class TrackingError(RoadsignError):
    """A run cannot be tracked, or no such run or model is known."""


class SpoolBusyError(TrackingError):
    """Another process that is alive writes this spool."""


class UnreachableError(TrackingError):
    """The server does not answer, or not now; what was to be sent is to be sent later."""


class RefusedError(Exception):
    """The server will never take this event."""


class Receiver(Protocol):
    """To be told an event twice must not matter: who is killed between telling and noting it tells it again."""

    def check(self) -> None:
        """Raises UnreachableError, within seconds."""

    def take(self, events: Sequence[Event], spool: Path) -> None:
        """One event, or many of metrics of one run. Raises UnreachableError or RefusedError."""


class Spool:
    """A folder: journal.jsonl (an event a line), files/ (copies that events name), `sent` (the journal's bytes that
    have been sent), about.json (of which run and server), refused.jsonl (events that the server did not take).

    A line is on the disk when `append` returns. One that was cut by a kill is dropped when the spool is next opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writing = threading.Lock()  # the run and its system metrics write from two threads

    @classmethod
    @contextlib.contextmanager
    def opened(cls, folder: Path) -> Iterator["Spool"]:
        """The spool in `folder`, made where it is missing, for one writer; the lock goes with the process, however it
        ends. Raises SpoolBusyError, TrackingError."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder, os.O_RDONLY)
        except OSError as error:
            raise TrackingError(f"{folder}: cannot be made or opened ({error.strerror}); choose another") from None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SpoolBusyError(f"{folder}: a run that is still in work writes here; wait for its end") from None
            spool = cls(folder)
            spool._drop_cut_line()
            yield spool
        finally:
            os.close(lock)

    @classmethod
    def find(cls, root: Path) -> list["Spool"]:
        """The spools below `root` that hold something unsent."""
        spools = (cls(path.parent) for path in sorted(root.rglob(JOURNAL)))
        return [spool for spool in spools if spool.unsent()]

    @property
    def about(self) -> Event:
        """Empty in a new spool."""
        path = self.folder / "about.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    @about.setter
    def about(self, about: Event) -> None:
        self._replace("about.json", json.dumps(about))

    def append(self, **event: Any) -> None:
        """Raises TrackingError where the disk refuses."""
        line = json.dumps(event).encode() + b"\n"
        try:
            with self._writing, (self.folder / JOURNAL).open("ab") as journal:
                journal.write(line)
                journal.flush()
                os.fsync(journal.fileno())
        except OSError as error:
            raise TrackingError(f"{self.folder}: cannot be written ({error.strerror}); make room") from None

    def keep(self, path: Path) -> str:
        """A copy of a file or folder, under its name: what is done to `path` later does no harm. For `file=`."""
        kept = self.new_place() / path.name
        try:
            if path.is_dir():
                shutil.copytree(path, kept)
            else:
                shutil.copyfile(path, kept)
        except OSError as error:
            raise TrackingError(f"{path}: cannot be copied to {self.folder} ({error.strerror})") from None
        return kept.relative_to(self.folder).as_posix()

    def new_place(self) -> Path:
        place = self.folder / "files" / uuid.uuid4().hex
        place.mkdir(parents=True)
        return place

    def unsent(self) -> int:
        """How many events are."""
        return sum(1 for _ in self._read())

    def next_batch(self) -> tuple[list[Event], int]:
        """The oldest unsent event, with those right behind it where they are all metrics of one run, and the position
        in the journal behind them. No event where all have been sent."""
        batch: list[Event] = []
        position = self._sent()
        for event, end in self._read():
            alike = not batch or all(_kind(one) == ("metrics", batch[0]["run_id"]) for one in (batch[0], event))
            if not alike or len(batch) == EVENTS_PER_BATCH:
                break
            batch.append(event)
            position = end
        return batch, position

    def note_sent(self, batch: Sequence[Event], position: int) -> None:
        self._replace("sent", str(position))
        for event in batch:
            if "file" in event:
                shutil.rmtree((self.folder / event["file"]).parent, ignore_errors=True)

    def note_refused(self, event: Event, reason: str) -> None:
        with (self.folder / "refused.jsonl").open("a") as refused:
            refused.write(json.dumps({"reason": reason, "event": event}) + "\n")

    def _sent(self) -> int:
        path = self.folder / "sent"
        return int(path.read_text()) if path.exists() else 0

    def _read(self) -> Iterator[tuple[Event, int]]:
        """Unsent events, each with the position behind it; a last line without its end is still being written."""
        path, position = self.folder / JOURNAL, self._sent()
        if not path.exists():
            return
        with path.open("rb") as journal:
            journal.seek(position)
            for line in journal:
                if not line.endswith(b"\n"):
                    return
                position += len(line)
                try:
                    yield json.loads(line), position
                except ValueError:
                    raise TrackingError(f"{path}: damaged before byte {position}; remove that line") from None

    def _drop_cut_line(self) -> None:
        path = self.folder / JOURNAL
        if path.exists():
            whole = path.read_bytes().rfind(b"\n") + 1
            os.truncate(path, whole)

    def _replace(self, name: str, text: str) -> None:
        partial = self.folder / f".{name}.partial"
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / name)


class Sender:
    """Tells a receiver what a spool holds, from a thread of its own: a dead or hanging receiver holds up nobody. Where
    it does not answer, again after 1, 2, 4 … 60 s."""

    def __init__(self, spool: Spool, receiver: Receiver) -> None:
        self._spool = spool
        self._receiver = receiver
        self._closing = threading.Event()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self.sent = 0
        self.refused: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def close(self, patience_s: float) -> None:
        """Returns when all is sent, when the receiver does not answer, or has taken nothing for `patience_s`."""
        self._closing.set()
        before = -1
        while self._thread.is_alive() and before != self.sent:
            before = self.sent
            self._thread.join(patience_s)
        self._abandoned.set()

    def send(self) -> None:
        """All there is, in this thread. Raises UnreachableError."""
        batch, position = self._spool.next_batch()
        if batch:
            self._receiver.check()
        while batch and not self._abandoned.is_set():
            self._tell(batch)
            if self._abandoned.is_set():
                return  # the spool may be another's by now
            self._spool.note_sent(batch, position)
            self.sent += len(batch)
            batch, position = self._spool.next_batch()

    def _tell(self, batch: Sequence[Event]) -> None:
        try:
            self._receiver.take(batch, self._spool.folder)
        except RefusedError as refusal:
            if len(batch) == 1:
                self._spool.note_refused(batch[0], str(refusal))
                self.refused.append(str(refusal))
            else:
                for event in batch:  # one bad metric must not cost the others
                    self._tell([event])

    def _work(self) -> None:
        pause_s = POLL_S
        while not self._closing.wait(pause_s):
            pause_s = POLL_S if self._send_if_there() else min(2 * pause_s, LONGEST_PAUSE_S)
        self._send_if_there()

    def _send_if_there(self) -> bool:
        try:
            self.send()
            return True
        except UnreachableError:
            return False


def _kind(event: Event) -> tuple[str, str]:
    return event["do"], event["run_id"]
