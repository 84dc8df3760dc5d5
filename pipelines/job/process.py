"""What a job's process leaves behind: nothing in the temporary folder, however it is ended short of SIGKILL."""

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
    """By SIGTERM. Libraries tidy up after a KeyboardInterrupt: of all exceptions it alone makes py4j close a connection
    on which a Spark job is still being waited for."""


@contextmanager
def tidy_process() -> Iterator[None]:
    """SIGTERM unwinds the block and ends the process with exit code 143. What the block and the processes that it
    starts make in the temporary folder lies in a folder of its own there, which goes with the block; PyTorch's compiler
    would leave its cache. Raises OSError where no such folder can be made."""
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
    """Signals can be taken by the main thread alone. Ranks are ended by torchrun, which a rank in the middle of a
    collective operation could not answer."""
    if threading.current_thread() is not threading.main_thread() or "RANK" in os.environ:
        yield
        return
    came: list[int] = []

    def terminate(number: int, _: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the tidying
        came.append(number)
        os.write(2, b"error: ended by SIGTERM\n")
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if came:
            sys.exit(TERMINATED)  # whatever has become of the exception on its way
