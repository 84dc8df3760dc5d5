"""A lock for one process at a time, on any machine that sees the folder: a lease, which ends when its holder dies or
sleeps.

A lease is a file, .<name>.lease.<number>; the highest number is the current one. It appears complete, by link(2), which
is atomic on local file systems and on NFS: of several processes that want the next number, one gets it. Nobody
overwrites or removes the current file, so a holder that wakes too late cannot harm another one; it sees the higher
number. The file's modification time is its holder's last renewal, by the holder's clock: the machines' clocks must
agree to within half of the time that a lease lasts.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import RoadsignError

__all__ = [
    "Clock",
    "Holder",
    "Lease",
    "LeaseBusyError",
    "LeaseError",
    "LeaseLostError",
    "find_holder",
    "leased",
    "take",
]

Clock = Callable[[], float]
"""Seconds since 1970; time.time."""
RELEASED = 0.0
RENEWALS = 3
"""How often a lease is renewed while it lasts."""
ATTEMPTS = 5


class LeaseError(RoadsignError):
    """A lease cannot be taken or read; the file system does not support it."""


class LeaseBusyError(LeaseError):
    """Another process holds it."""


class LeaseLostError(LeaseError):
    """It has been lost: the process must not publish anything in its name."""


class Holder(NamedTuple):
    """The holder of lease number `number`, until `expires` unless it is renewed."""

    number: int
    who: str
    expires: float


class Lease:
    """Held until `lasts_s` have passed without renewal, or until release. A lost lease cannot be regained."""

    def __init__(self, folder: Path, name: str, number: int, lasts_s: float, clock: Clock) -> None:
        self.number = number
        self._folder, self._name, self._lasts_s, self._clock = folder, name, lasts_s, clock
        self._path = _path(folder, name, number)
        self._renewed = clock()

    def check(self) -> None:
        """To be called right before an action that only the holder may do. Raises LeaseLostError."""
        self._check_time()
        try:
            newest = _numbers(self._folder, self._name)[-1:]
        except OSError as error:
            raise LeaseLostError(f"{self._folder}: cannot be read ({error.strerror}); the lease may be lost") from None
        if newest != [self.number]:
            self._renewed = RELEASED
            raise LeaseLostError(f"{self._path}: another process holds the lease now, and its results count")

    def renew(self) -> None:
        """Renews it for another lasts_s. Raises LeaseLostError; after other errors of the file system, renewal is tried
        again."""
        self._check_time()
        now = self._clock()
        try:
            os.utime(self._path, (now, now))
        except FileNotFoundError:
            self.check()
        except OSError:
            return
        self._renewed = now

    def release(self) -> None:
        """Frees the lease before it expires."""
        self._renewed = RELEASED
        with contextlib.suppress(OSError):  # it will expire
            os.utime(self._path, (RELEASED, RELEASED))

    def keep(self, stop: threading.Event) -> None:
        """Renews it until `stop` is set, or until it is lost."""
        with contextlib.suppress(LeaseLostError):
            while not stop.wait(self._lasts_s / RENEWALS):
                self.renew()

    def _check_time(self) -> None:
        late_s = self._clock() - self._renewed - self._lasts_s
        if late_s >= 0:
            raise LeaseLostError(
                f"{self._path}: the lease was not renewed for more than {self._lasts_s:g} s and is lost; this process "
                "or its machine was suspended, or the file system was unavailable"
            )


@contextmanager
def leased(folder: Path, name: str, lasts_s: float = 60.0, clock: Clock = time.time) -> Iterator[Lease]:
    """Held while the block runs, renewed by a thread of its own. Call Lease.check right before publishing anything in
    the block. Raises LeaseBusyError and LeaseError."""
    lease = take(folder, name, lasts_s, clock)
    stop = threading.Event()
    heartbeat = threading.Thread(target=lease.keep, args=(stop,), name=f"{name} lease", daemon=True)
    heartbeat.start()
    try:
        yield lease
    finally:
        stop.set()
        heartbeat.join()
        lease.release()


def take(folder: Path, name: str, lasts_s: float, clock: Clock = time.time) -> Lease:
    """The lease `name` of a folder, which is created if it is missing. Raises LeaseBusyError and LeaseError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number, holder = _newest(folder, name, clock)
        if holder:
            until = datetime.fromtimestamp(holder.expires, UTC)
            raise LeaseBusyError(
                f"{folder}: {name} is locked by a running batch ({holder.who}); wait for it to end, or if it has died, "
                f"until {until:%H:%M:%S} UTC"
            )
        lease = Lease(folder, name, number + 1, lasts_s, clock)
        _create(_path(folder, name, lease.number), lasts_s, clock())
        _settle(folder, name, lease.number)
    except (FileExistsError, FileNotFoundError):
        raise LeaseBusyError(f"{folder}: {name} was just started by another process; wait for it to end") from None
    except OSError as error:
        raise LeaseError(
            f"{folder}: {name} cannot be leased ({error.strerror}); use a folder that can be written"
        ) from None
    return lease


def find_holder(folder: Path, name: str, clock: Clock = time.time) -> Holder | None:
    """The holder of the lease, or None if there is none. Raises OSError, and LeaseError if a lease is corrupt."""
    return _newest(folder, name, clock)[1]


def _newest(folder: Path, name: str, clock: Clock) -> tuple[int, Holder | None]:
    """The current number, 0 if there is none, and its holder. The next lease must have exactly the next number: another
    process may have taken it since."""
    number = 0
    for _ in range(ATTEMPTS):
        number = max(_numbers(folder, name), default=0)
        if not number:
            break
        with contextlib.suppress(FileNotFoundError):  # another process has just taken over
            holder = _read(_path(folder, name, number), number)
            return number, holder if clock() < holder.expires else None
    return number, None


def _read(path: Path, number: int) -> Holder:
    """Opens the file, so that NFS asks its server instead of its cache."""
    with path.open() as file:
        renewed = os.fstat(file.fileno()).st_mtime
        try:
            facts = json.load(file)
            who = f"process {facts['pid']} on {facts['host']} since {facts['since']}"
            return Holder(number, who, renewed + facts["lasts_s"])
        except (ValueError, KeyError, TypeError):
            raise LeaseError(f"{path}: not a lease of this version; remove it if no batch is running") from None


def _create(path: Path, lasts_s: float, now: float) -> None:
    since = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    facts = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "lasts_s": lasts_s}
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        draft.write_text(json.dumps(facts))
        os.utime(draft, (now, now))
        os.link(draft, path)
    except FileExistsError:
        if draft.stat().st_nlink != 2:  # NFS may lose the answer to its own link request
            raise
    finally:
        draft.unlink(missing_ok=True)


def _settle(folder: Path, name: str, number: int) -> None:
    """A slow process may have created a number that others have already passed: that one does not count."""
    if _numbers(folder, name)[-1] != number:
        _path(folder, name, number).unlink(missing_ok=True)
        raise FileExistsError
    for suffix in _suffixes(folder, name):  # also of drafts of killed processes
        if int(suffix.partition(".")[0]) < number:
            (folder / f"{_beginning(name)}{suffix}").unlink(missing_ok=True)


def _numbers(folder: Path, name: str) -> list[int]:
    """Rising."""
    return sorted(int(suffix) for suffix in _suffixes(folder, name) if suffix.isdigit())


def _suffixes(folder: Path, name: str) -> list[str]:
    """Not by Path.glob, which takes an unreadable folder for an empty one."""
    beginning = _beginning(name)
    return [path.name.removeprefix(beginning) for path in folder.iterdir() if path.name.startswith(beginning)]


def _path(folder: Path, name: str, number: int) -> Path:
    return folder / f"{_beginning(name)}{number:08d}"


def _beginning(name: str) -> str:
    return f".{name}.lease."
