"""MLflow's user interface on the local store: one server process, with links to what there is to compare."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import IO

from pydantic import Field

from pipelines.settings import Settings
from training.tracking.database import check_runs_in, database_of
from training.tracking.server import Server, tracking_uri
from training.tracking.spool import TrackingError

__all__ = ["UserInterface", "links", "serve"]

WAIT_S, STOP_S = 120.0, 10.0
LAST_LINES = 5
ONE_PROCESS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class UserInterface(Settings):
    """`host` and `port` are where it listens; `experiment` is the one that it opens on."""

    host: str = "127.0.0.1"
    port: int = Field(default=5000, ge=1, le=65535)
    experiment: str = "classifiers"


def links(settings: UserInterface) -> dict[str, str]:
    """The addresses of the experiment's runs as a table, and of the registered models. Raises TrackingError if there is
    no store, or no such experiment in it."""
    uri = tracking_uri()
    database = database_of(uri)
    if database is None:
        raise TrackingError(f"MLFLOW_TRACKING_URI={uri}: has a user interface of its own; open it in a browser")
    check_runs_in(database)
    server = Server(uri)
    with server.asked():
        found = server.experiment(settings.experiment)
        names = sorted(one.name for one in server.client.search_experiments())
    if found is None:
        raise TrackingError(f"experiment={settings.experiment}: there is none; there are {', '.join(names)}")
    root = f"http://{settings.host}:{settings.port}/#"
    table = f"{root}/experiments/{found.experiment_id}/runs?workflowType=machine_learning"
    return {
        f"runs of {settings.experiment}": table,
        "registered models": f"{root}/models",
    }


def serve(settings: UserInterface, say: Callable[[str], None]) -> None:
    """Until Ctrl-C or SIGTERM. Raises TrackingError if there is no store, the port is taken, or the server ends."""
    shown = links(settings)
    _check_free(settings)
    with tempfile.TemporaryFile() as log, _server(settings, log.fileno()) as process, _stopped_by_signals():
        _wait_until_it_answers(process, settings, lambda: _last_lines(log))
        for name, link in shown.items():
            say(f"{name}: {link}")
        say("Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            process.wait()
            raise TrackingError(f"MLflow's server ended: {_last_lines(log)}")


def _check_free(settings: UserInterface) -> None:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((settings.host, settings.port))
        except OSError as error:
            raise TrackingError(
                f"port={settings.port}: cannot be opened on {settings.host} ({error.strerror}); choose another: "
                f"port={settings.port % 65535 + 1}"
            ) from None


@contextlib.contextmanager
def _server(settings: UserInterface, log: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", settings.host, "--port", str(settings.port),
        "--workers", "1", "--backend-store-uri", tracking_uri(),
    ]  # fmt: skip
    environment = {**os.environ, **ONE_PROCESS}
    process = subprocess.Popen(
        command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """The server and its workers are a group of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
            return


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Ctrl-C also where a shell has started this in the background, and made it deaf to it."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_until_it_answers(process: subprocess.Popen[bytes], settings: UserInterface, said: Callable[[], str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not _answers(f"http://{settings.host}:{settings.port}/health"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise TrackingError(f"MLflow's server does not start: {said()}")
        time.sleep(0.2)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:  # noqa: S310 - http, to the server started here
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _last_lines(log: IO[bytes]) -> str:
    log.seek(0)
    return " / ".join(log.read().decode(errors="replace").splitlines()[-LAST_LINES:])
