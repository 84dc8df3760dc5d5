"""The events of a run for a tracking server, kept on disk until they are sent; independent of the server itself."""

import contextlib
import json
import os
import re
import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.errors import RoadsignError
from pipelines.store.atomic_file import atomic_file
from pipelines.store.remote_copy import shown
from training.tracking.locks import FolderError, lock_folder

__all__ = ["Event", "Spool", "SpoolBusyError", "TrackingError"]

Event = dict[str, Any]
"""Plain data: `do` is the kind of event, `run_id` its run, `file` (if present) the name of a copy in the spool."""

JOURNAL, FILES = "journal.jsonl", "files"
COPY = re.compile("[0-9a-f]{32}")
EVENTS_PER_BATCH = 100


class TrackingError(RoadsignError):
    """A run cannot be tracked, or there is no such run or model."""


class SpoolBusyError(TrackingError):
    """Another running process writes this spool."""


class Spool:
    """A folder: journal.jsonl (one event per line), files/ (copies that events refer to), `sent` (how many bytes of the
    journal have been sent), about.json (the run and the server), refused.jsonl (events that the server rejected).

    A line is on disk when `append` returns. A line that was cut by a kill is dropped when the spool is opened again, as
    are copies that no unsent event names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = shown(folder)
        self._writing = threading.Lock()  # the run and its system metrics write from two threads

    @classmethod
    @contextlib.contextmanager
    def opened(cls, folder: Path) -> Iterator["Spool"]:
        """The spool in `folder`, created if it is missing, for one writer; the lock ends with the process, however that
        ends. Raises SpoolBusyError, TrackingError."""
        try:
            with lock_folder(folder):
                spool = cls(folder)
                spool._drop_cut_line()
                spool._drop_left_copies()
                yield spool
        except FolderError as error:
            if error.busy:
                raise SpoolBusyError(
                    f"{folder}: a run that is still in progress writes here; wait for it to end"
                ) from None
            raise TrackingError(f"{error}; choose another") from None

    @classmethod
    def find(cls, root: Path) -> list["Spool"]:
        """The spools below `root` with unsent events. Raises TrackingError."""
        return [spool for spool in cls.all_below(root) if spool.unsent()]

    @classmethod
    def all_below(cls, root: Path) -> list["Spool"]:
        return [cls(path.parent) for path in sorted(root.rglob(JOURNAL))]

    @property
    def about(self) -> Event:
        """The run and the server; empty in a new spool. Raises TrackingError."""
        path = self.folder / "about.json"
        try:
            about = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise TrackingError(
                f"{self.name}/{path.name}: not readable ({error}); restore it from a copy of the run's folder"
            ) from None
        if not isinstance(about, dict) or not all(isinstance(about.get(name), str) for name in ("uri", "run_id")):
            raise TrackingError(
                f"{self.name}/{path.name}: does not name a run_id and the uri of its server; restore it from a copy"
            )
        return about

    @about.setter
    def about(self, about: Event) -> None:
        """Raises TrackingError."""
        self._replace("about.json", json.dumps(about))

    def append(self, **event: Any) -> None:
        """Raises TrackingError if the disk refuses."""
        line = json.dumps(event).encode() + b"\n"
        with self._written(), self._writing, (self.folder / JOURNAL).open("ab") as journal:
            journal.write(line)
            journal.flush()
            os.fsync(journal.fileno())

    def keep(self, path: Path) -> str:
        """Keeps a copy of a file or folder and returns its name for `file=`; later changes to `path` have no effect.
        Raises TrackingError."""
        kept = self.new_place() / path.name
        try:
            if path.is_dir():
                shutil.copytree(path, kept)
            else:
                shutil.copyfile(path, kept)
        except OSError as error:
            raise TrackingError(f"{path}: cannot be copied to {self.folder} ({error.strerror})") from None
        return kept.relative_to(self.folder).as_posix()

    def keep_text(self, name: str, text: str) -> str:
        """Like `keep`, for a new file with this text."""
        kept = self.new_place() / name
        with self._written():
            kept.write_text(text)
        return kept.relative_to(self.folder).as_posix()

    def kept(self, event: Event) -> Path:
        """The path that `keep` or `new_place` made for this event. Raises TrackingError for any other path: the folder
        of a foreign run must not refer to files of this machine."""
        files = self.folder / FILES
        path = self.folder / str(event["file"])
        parts = [path, *path.rglob("*")] if path.is_dir() else [path]
        if path.resolve().parent.parent != files.resolve() or any(part.is_symlink() for part in parts):
            raise TrackingError(f"{event['file']}: is not in {files}, or is a link; it is neither sent nor removed")
        return path

    def new_place(self) -> Path:
        """Raises TrackingError."""
        place = self.folder / FILES / uuid.uuid4().hex
        with self._written():
            place.mkdir(parents=True)
        return place

    def unsent(self) -> int:
        """The number of unsent events."""
        return sum(1 for _ in self._read())

    def next_batch(self) -> tuple[list[Event], int]:
        """The oldest unsent event, together with the directly following ones if all are metrics of one run, and the
        position in the journal after them. No event if all have been sent."""
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
        """Raises TrackingError."""
        self._replace("sent", str(position))
        for event in batch:
            if "file" in event:
                with contextlib.suppress(TrackingError):
                    shutil.rmtree(self.kept(event).parent, ignore_errors=True)

    def note_refused(self, event: Event, reason: str) -> None:
        """Raises TrackingError."""
        with self._written(), (self.folder / "refused.jsonl").open("a") as refused:
            refused.write(json.dumps({"reason": reason, "event": event}) + "\n")

    def _sent(self) -> int:
        path = self.folder / "sent"
        try:
            position = int(path.read_text())
        except FileNotFoundError:
            return 0
        except (OSError, ValueError):
            position = -1
        if position < 0:
            raise TrackingError(f"{self.name}/{path.name}: not readable; remove it, then all events are sent again")
        return position

    def _read(self) -> Iterator[tuple[Event, int]]:
        """Unsent events, each with the position after it; an incomplete last line is still being written."""
        path, position = self.folder / JOURNAL, self._sent()
        if not path.exists():
            return
        with path.open("rb") as journal:
            journal.seek(position)
            for line in journal:
                if not line.endswith(b"\n"):
                    return
                position += len(line)
                event = _event(line)
                if event is None:
                    raise TrackingError(f"{self.name}/{path.name}: corrupt before byte {position}; remove that line")
                yield event, position

    def _drop_cut_line(self) -> None:
        path = self.folder / JOURNAL
        if path.exists():
            whole = path.read_bytes().rfind(b"\n") + 1
            os.truncate(path, whole)

    def _drop_left_copies(self) -> None:
        """Of a process that was killed before it had told of them, or when they had just been sent."""
        files = self.folder / FILES
        try:
            named = {PurePosixPath(str(event.get("file"))).parts[1:2] for event, _ in self._read()}
        except TrackingError:  # whoever sends the events reports it
            return
        for path in [] if files.is_symlink() or not files.is_dir() else files.iterdir():
            ours = path.is_dir() and not path.is_symlink() and COPY.fullmatch(path.name)
            if ours and (path.name,) not in named:
                shutil.rmtree(path, ignore_errors=True)

    def _replace(self, name: str, text: str) -> None:
        with self._written(), atomic_file(self.folder / name) as partial:
            partial.write_text(text)

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrackingError(f"{self.folder}: cannot be written ({error.strerror}); make room") from None


def _event(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    named = isinstance(event, dict) and all(isinstance(event.get(name), str) for name in ("do", "run_id"))
    file = event.get("file", "") if named else None
    return event if isinstance(file, str) and "\0" not in file else None


def _kind(event: Event) -> tuple[str, str]:
    return event["do"], event["run_id"]
