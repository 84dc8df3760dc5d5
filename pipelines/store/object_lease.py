"""A lock of a folder in an object store, for one writer at a time on any machine: a lease, which ends when its holder
dies.

A lease is an object, _lease.<number>; the highest number is the current one. It is created only if there is none of
that name (If-None-Match), so of several writers that want the next number, one gets it, and it is renewed by its holder
alone. For a server that ignores the condition, a writer looks again after it has created its lease, which leaves a gap
of one request. The machines' clocks must agree to within half of the time that a lease lasts.

training/retraining/lease.py does the same with files of a disk."""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from pipelines.errors import StoreError
from pipelines.places import Remote, refusing_store_errors

__all__ = ["BusyError", "Lease", "leased"]

Clock = Callable[[], float]
"""Seconds since 1970; time.time."""
BEGINNING = "_lease."
LASTS_S = 60.0
RENEWALS = 4
"""How often a lease is renewed while it lasts."""


class BusyError(StoreError):
    """Another process holds the lease."""


class Held(NamedTuple):
    """A lease as it is stored."""

    owner: str
    expires: float


class Lease(NamedTuple):
    """Lease number `number` of a folder, of the holder `owner`."""

    root: Remote
    number: int
    owner: str

    @property
    def path(self) -> Remote:
        return self.root / f"{BEGINNING}{self.number:08d}"

    def check(self, clock: Clock = time.time) -> None:
        """Called right before anything is published in its name. Raises StoreError if it is lost."""
        with refusing_store_errors(self.root):
            current = _newest(self.root)
            found = _read(self.root, current)
        if current != self.number or found is None or found.owner != self.owner or found.expires < clock():
            raise StoreError(
                f"{self.root}: the lock was lost, since it was not renewed for {LASTS_S:g} s; the datasets that are "
                "not there yet were not published; run the same command again"
            )

    def renew(self, clock: Clock = time.time) -> None:
        """Does nothing if another writer has taken over."""
        if _newest(self.root) == self.number:
            self.path.write_text(self._contents(clock))

    def release(self) -> None:
        with suppress(FileNotFoundError):
            self.path.unlink()

    def create(self, clock: Clock) -> None:
        """Raises FileExistsError if another writer was faster."""
        contents = self._contents(clock).encode()
        try:
            self.root.fs.pipe_file(self.path.path, contents, mode="create")
        except OSError as error:
            if "precondition" in str(error).lower() or isinstance(error, FileExistsError):
                raise FileExistsError from None
            raise
        found = _read(self.root, self.number)
        if found is None or found.owner != self.owner:
            raise FileExistsError

    def _contents(self, clock: Clock) -> str:
        return json.dumps(Held(self.owner, clock() + LASTS_S)._asdict())


@contextmanager
def leased(root: Remote, clock: Clock = time.time) -> Iterator[Lease]:
    """Held while the block runs, and renewed by a thread. Raises StoreError."""
    with refusing_store_errors(root):
        lease = _take(root, clock)
    stop = threading.Event()
    heartbeat = threading.Thread(target=_keep, args=(lease, stop), name="lease of the output", daemon=True)
    heartbeat.start()
    try:
        yield lease
    finally:
        stop.set()
        heartbeat.join()
        with refusing_store_errors(root):
            lease.release()


def _take(root: Remote, clock: Clock) -> Lease:
    number = _newest(root)
    held = _read(root, number) if number else None
    if held and held.expires > clock():
        raise BusyError(
            f"{root}: another run is writing here ({held.owner}); wait, or if it has died, try again in "
            f"{held.expires - clock():.0f} s, or choose another folder"
        )
    owner = f"process {os.getpid()} on {socket.gethostname()}, {uuid.uuid4().hex[:8]}"
    lease = Lease(root, number + 1, owner)
    try:
        lease.create(clock)
    except FileExistsError:
        raise BusyError(f"{root}: another run has just started to write here; wait, or choose another folder") from None
    for older in _numbers(root):
        if older < lease.number:
            lease._replace(number=older).release()
    return lease


def _keep(lease: Lease, stop: threading.Event) -> None:
    while not stop.wait(LASTS_S / RENEWALS):
        with suppress(Exception):  # a later attempt may succeed; if none does, check refuses to publish
            lease.renew()


def _newest(root: Remote) -> int:
    return max(_numbers(root), default=0)


def _numbers(root: Remote) -> list[int]:
    try:
        names = [name.rpartition("/")[2] for name in root.fs.ls(root.path, detail=False, refresh=True)]
    except FileNotFoundError:  # no object of this folder, or no bucket, which creating the lease will tell
        return []
    return [int(name.removeprefix(BEGINNING)) for name in names if name.startswith(BEGINNING)]


def _read(root: Remote, number: int) -> Held | None:
    path = root / f"{BEGINNING}{number:08d}"
    try:
        facts = json.loads(path.read_text())
        return Held(str(facts["owner"]), float(facts["expires"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"{path}: not a lock of this version; remove it if no run is writing") from None
