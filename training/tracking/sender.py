"""Sends the events of a spool to a receiver, now or later."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from training.tracking.spool import Event, Spool, TrackingError

__all__ = ["Receiver", "RefusedError", "Sender", "UnreachableError"]

POLL_S = 0.5
LONGEST_PAUSE_S = 60.0


class UnreachableError(TrackingError):
    """The server does not answer, or not at the moment; the events must be sent later."""


class RefusedError(Exception):
    """The server will never accept this event."""


class Receiver(Protocol):
    """Receiving an event twice must be harmless: a process that is killed between sending and recording it sends it
    again."""

    def check(self) -> None:
        """Raises UnreachableError, within seconds."""

    def take(self, events: Sequence[Event], spool: Path) -> None:
        """Accepts one event, or several metrics events of one run. Raises UnreachableError or RefusedError."""


class Sender:
    """Sends the events of a spool to a receiver from its own thread, so that a dead or hanging receiver does not block
    the run. Retries after 1, 2, 4 … 60 s if the receiver does not answer."""

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
        """Returns when all events are sent, when the receiver does not answer, or when it has accepted nothing for
        `patience_s`."""
        self._closing.set()
        before = -1
        while self._thread.is_alive() and before != self.sent:
            before = self.sent
            self._thread.join(patience_s)
        self._abandoned.set()

    def send(self) -> None:
        """Sends all pending events in the calling thread. Raises UnreachableError."""
        batch, position = self._spool.next_batch()
        if batch:
            self._receiver.check()
        while batch and not self._abandoned.is_set():
            self._tell(batch)
            if self._abandoned.is_set():
                return  # another process may own the spool by now
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
                for event in batch:  # one bad metric must not prevent the others
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
        except TrackingError:  # unreachable server or full disk; unsent events are reported at the end
            return False
