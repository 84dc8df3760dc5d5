"""Sends the events that a run kept while its server was unreachable."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from pipelines.store.object_lease import BusyError, leased
from pipelines.store.remote_copy import RemoteCopy
from training.tracking.asking import shown
from training.tracking.sender import Sender
from training.tracking.server import Server
from training.tracking.spool import Event, Spool, SpoolBusyError, TrackingError

__all__ = ["Sent", "send_kept"]

CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


class Sent(NamedTuple):
    run_id: str
    uri: str
    events: int
    refused: list[str]
    """The reasons, one line each; the events themselves remain in refused.jsonl."""


def send_kept(spool: Spool) -> Sent:
    """Sends to MLFLOW_TRACKING_URI, or if it is not set to the server that the run was started with.

    Raises SpoolBusyError if the run is still in progress, UnreachableError, and TrackingError if the server does not
    know the run."""
    with _held(spool), Spool.opened(spool.folder) as own:
        about = own.about
        if not about:
            raise TrackingError(f"{spool.name}: its run has no about.json; restore it from a copy of the run's folder")
        server = Server(os.environ.get("MLFLOW_TRACKING_URI") or _uri_of(about, spool))
        server.run(about["run_id"])
        sender = Sender(own, server)
        sender.send()
        return Sent(about["run_id"], shown(server.uri), sender.sent, sender.refused)


@contextmanager
def _held(spool: Spool) -> Iterator[None]:
    """If the run is in an object store, no other process uses it, and what the block changes is changed there."""
    copy = RemoteCopy.of(spool.folder)
    if copy is None:
        yield
        return
    try:
        with leased(copy.place.parent):
            copy.fetch()
            with copy.sent():
                yield
    except BusyError as error:
        raise SpoolBusyError(str(error)) from None


def _uri_of(about: Event, spool: Spool) -> str:
    """The URI to send to. A URI from a folder, which may be foreign, must never receive a password. Raises
    TrackingError."""
    given = [name for name in CREDENTIALS if os.environ.get(name)]
    if given and not about["uri"].startswith("sqlite:"):
        raise TrackingError(
            f"{spool.name}: is for {about['uri']}, but {given[0]} is set; set MLFLOW_TRACKING_URI to the server that "
            "it is for"
        )
    return str(about["uri"])
