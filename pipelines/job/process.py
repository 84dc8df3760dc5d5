"""Cleanup of a job's process: it leaves nothing in the temporary folder, unless it is ended by SIGKILL."""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["tidy_process"]

TERMINATED = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM. Libraries clean up after a KeyboardInterrupt: it is the only exception after which py4j closes
    a connection that waits for a Spark job."""


@contextmanager
def tidy_process() -> Iterator[None]:
    """SIGTERM unwinds the block and ends the process with exit code 143. Temporary files of the block and its child
    processes are in their own folder, which is removed at the end of the block; PyTorch's compiler would otherwise
    leave its cache. Raises OSError if the folder cannot be created."""
    with _terminating(), tempfile.TemporaryDirectory(prefix="roadsign-", ignore_cleanup_errors=True) as folder:
        before = tempfile.tempdir, {name: os.environ.get(name) for name in ("TMPDIR", "TORCHINDUCTOR_CACHE_DIR")}
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(folder, "inductor"))  # noqa: PTH118
        try:
            yield
        finally:
            tempfile.tempdir, variables = before
            for name, value in variables.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


@contextmanager
def _terminating() -> Iterator[None]:
    """Only the main thread can handle signals. Ranks are ended by torchrun, since a rank inside a collective operation
    could not respond."""
    if threading.current_thread() is not threading.main_thread() or "RANK" in os.environ:
        yield
        return
    came: list[int] = []

    def terminate(number: int, _: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the cleanup
        came.append(number)
        os.write(2, b"error: ended by SIGTERM\n")
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if came:
            sys.exit(TERMINATED)  # even if the exception was replaced on its way
