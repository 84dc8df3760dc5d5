"""Sends what a run had to keep while its server was away."""

import os
from typing import NamedTuple

from training.tracking.sender import Sender
from training.tracking.server import Server
from training.tracking.spool import Spool

__all__ = ["Sent", "send_kept"]


class Sent(NamedTuple):
    run_id: str
    uri: str
    events: int
    refused: list[str]
    """Why, one line each; the events themselves stay in refused.jsonl."""


def send_kept(spool: Spool) -> Sent:
    """To MLFLOW_TRACKING_URI, or where it is not set to the server that the run began with.

    Raises SpoolBusyError where its run is still in work, UnreachableError, and TrackingError where the server does not
    know the run."""
    with Spool.opened(spool.folder) as own:
        about = own.about
        server = Server(os.environ.get("MLFLOW_TRACKING_URI") or about["uri"])
        server.run(about["run_id"])
        sender = Sender(own, server)
        sender.send()
        return Sent(about["run_id"], server.uri, sender.sent, sender.refused)
