"""One process at a time, on whichever machine sees the folder: a lease that ends when its holder dies or sleeps.

A lease is a file, .<name>.lease.<number>; the highest number counts. It appears whole, by link(2), which is atomic on
local file systems and on NFS: of several that want the next number, one gets it. Nobody overwrites or removes the file
that counts, so a holder that wakes too late can harm no other; it sees the higher number. The file's modification time
is its holder's last sign of life, by the holder's clock: the machines' clocks must agree to within half of the time
that a lease lasts.
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
"""So often a lease is renewed in the time that it lasts."""
ATTEMPTS = 5


class LeaseError(RoadsignError):
    """A lease cannot be had or told of; the file system is not as it must be."""


class LeaseBusyError(LeaseError):
    """Another process holds it."""


class LeaseLostError(LeaseError):
    """It was held and is no more: nothing may be published in its name."""


class Holder(NamedTuple):
    """Of the lease number `number`, held until `expires` unless it is renewed."""

    number: int
    who: str
    expires: float


class Lease:
    """Held until `lasts_s` have gone by without renew, or until release. What was lost once stays lost."""

    def __init__(self, folder: Path, name: str, number: int, lasts_s: float, clock: Clock) -> None:
        self.number = number
        self._folder, self._name, self._lasts_s, self._clock = folder, name, lasts_s, clock
        self._path = _path(folder, name, number)
        self._renewed = clock()

    def check(self) -> None:
        """To be called right before what one holder alone may do. Raises LeaseLostError."""
        self._check_time()
        try:
            newest = _numbers(self._folder, self._name)[-1:]
        except OSError as error:
            raise LeaseLostError(f"{self._folder}: not to be read ({error.strerror}); the lease may be lost") from None
        if newest != [self.number]:
            self._renewed = RELEASED
            raise LeaseLostError(f"{self._path}: the lease is another process's by now; what that one does counts")

    def renew(self) -> None:
        """For another lasts_s. Raises LeaseLostError; a file system that fails may be back before the lease ends."""
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
        """Others need not wait until it would have expired."""
        self._renewed = RELEASED
        with contextlib.suppress(OSError):  # it expires
            os.utime(self._path, (RELEASED, RELEASED))

    def keep(self, stop: threading.Event) -> None:
        """Renews it until then, or until it is lost."""
        with contextlib.suppress(LeaseLostError):
            while not stop.wait(self._lasts_s / RENEWALS):
                self.renew()

    def _check_time(self) -> None:
        late_s = self._clock() - self._renewed - self._lasts_s
        if late_s >= 0:
            raise LeaseLostError(
                f"{self._path}: the lease was not renewed for more than {self._lasts_s:g} s and is lost; this process "
                "or its machine has slept, or the file system was away"
            )


@contextmanager
def leased(folder: Path, name: str, lasts_s: float = 60.0, clock: Clock = time.time) -> Iterator[Lease]:
    """Held while the block runs, renewed by a thread of its own. Whoever publishes something in the block calls
    Lease.check right before. Raises LeaseBusyError and LeaseError."""
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
    """The lease `name` of a folder, which is made where it is missing. Raises LeaseBusyError and LeaseError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number, holder = _newest(folder, name, clock)
        if holder:
            until = datetime.fromtimestamp(holder.expires, UTC)
            raise LeaseBusyError(
                f"{folder}: {name} is in work, {holder.who}; wait for it, or if it has died, until {until:%H:%M:%S} UTC"
            )
        lease = Lease(folder, name, number + 1, lasts_s, clock)
        _create(_path(folder, name, lease.number), lasts_s, clock())
        _settle(folder, name, lease.number)
    except (FileExistsError, FileNotFoundError):
        raise LeaseBusyError(f"{folder}: {name} was begun by another process this moment; wait for it") from None
    except OSError as error:
        raise LeaseError(f"{folder}: {name} cannot be leased ({error.strerror}); give a folder to write to") from None
    return lease


def find_holder(folder: Path, name: str, clock: Clock = time.time) -> Holder | None:
    """Who holds the lease; None where nobody does. Raises OSError, and LeaseError where a lease is damaged."""
    return _newest(folder, name, clock)[1]


def _newest(folder: Path, name: str, clock: Clock) -> tuple[int, Holder | None]:
    """The number that counts, 0 where there is none, and who holds it. Whoever takes the lease must go on from this
    very number: what another one has made since is not free."""
    number = 0
    for _ in range(ATTEMPTS):
        number = max(_numbers(folder, name), default=0)
        if not number:
            break
        with contextlib.suppress(FileNotFoundError):  # another one has just taken over
            holder = _read(_path(folder, name, number), number)
            return number, holder if clock() < holder.expires else None
    return number, None


def _read(path: Path, number: int) -> Holder:
    """Opened, so that NFS asks its server and not its cache."""
    with path.open() as file:
        renewed = os.fstat(file.fileno()).st_mtime
        try:
            facts = json.load(file)
            who = f"by process {facts['pid']} on {facts['host']} since {facts['since']}"
            return Holder(number, who, renewed + facts["lasts_s"])
        except (ValueError, KeyError, TypeError):
            raise LeaseError(f"{path}: no lease of this version; remove it if nothing is in work") from None


def _create(path: Path, lasts_s: float, now: float) -> None:
    since = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    facts = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "lasts_s": lasts_s}
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        draft.write_text(json.dumps(facts))
        os.utime(draft, (now, now))
        os.link(draft, path)
    except FileExistsError:
        if draft.stat().st_nlink != 2:  # NFS may lose the answer and hear of its own link
            raise
    finally:
        draft.unlink(missing_ok=True)


def _settle(folder: Path, name: str, number: int) -> None:
    """Whoever was slow may have made a number that others have left behind: it does not count."""
    if _numbers(folder, name)[-1] != number:
        _path(folder, name, number).unlink(missing_ok=True)
        raise FileExistsError
    for suffix in _suffixes(folder, name):  # of drafts too, whose makers were killed
        if int(suffix.partition(".")[0]) < number:
            (folder / f"{_beginning(name)}{suffix}").unlink(missing_ok=True)


def _numbers(folder: Path, name: str) -> list[int]:
    """Rising."""
    return sorted(int(suffix) for suffix in _suffixes(folder, name) if suffix.isdigit())


def _suffixes(folder: Path, name: str) -> list[str]:
    """Not by Path.glob, to which a folder that cannot be read is an empty one."""
    beginning = _beginning(name)
    return [path.name.removeprefix(beginning) for path in folder.iterdir() if path.name.startswith(beginning)]


def _path(folder: Path, name: str, number: int) -> Path:
    return folder / f"{_beginning(name)}{number:08d}"


def _beginning(name: str) -> str:
    return f".{name}.lease."
