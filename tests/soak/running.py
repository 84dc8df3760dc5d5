"""Starts jobs as processes that can all be found again, however they were started and whoever has died since."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

__all__ = ["HangError", "Place", "Running", "end_all", "marked", "wait_until"]

JOBS, SERVERS = "ROADSIGN_SOAK_JOB", "ROADSIGN_SOAK_SERVER"
"""Variables that every process of a job, or of a server of this program, has in its environment: the soak's folder."""
ENDS_WITHIN_S = 60.0


class HangError(Exception):
    """A job did not end in time."""


class Place(NamedTuple):
    """`folder` is that of the whole soak; a fault happens in work/, always the same path."""

    folder: Path

    @property
    def inputs(self) -> Path:
        return self.folder / "inputs"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def out(self) -> Path:
        """The working folder of the job: whatever it makes is in it."""
        return self.work / "out"

    @property
    def tmp(self) -> Path:
        return self.work / "tmp"

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """That of a job. Java's temporary files go where Python's go."""
        inherited = {name: value for name, value in os.environ.items() if name != SERVERS}
        java = f"{inherited.get('SPARK_SUBMIT_OPTS', '')} -Djava.io.tmpdir={self.tmp}"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {
            **inherited, "PATH": path, JOBS: str(self.folder), "TMPDIR": str(self.tmp), "OMP_NUM_THREADS": "1",
            "COLUMNS": "200", "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable,
            "SPARK_SUBMIT_OPTS": java.strip(), **more,
        }  # fmt: skip


def marked(folder: Path, variable: str = JOBS) -> list[psutil.Process]:
    """All living processes of the soak in `folder`, also those whose parents have died."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(variable) == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_all(folder: Path, variable: str = JOBS) -> None:
    """kill −9 to what is left of a job, or of an earlier soak that was itself killed."""
    left = marked(folder, variable)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=30)


def wait_until(done: Callable[[], bool], longest_s: float, every_s: float = 0.05) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + longest_s
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


class Running:
    """A job at work; its output goes to `log`."""

    def __init__(self, place: Place, command: Sequence[str], log: Path, more: Mapping[str, str]) -> None:
        self.place, self.log = place, log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command, cwd=place.out, env=place.environment(more), stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self.began = time.monotonic()

    @property
    def at_work(self) -> bool:
        return self.process.poll() is None

    def wait_for_moment(self, after_s: float) -> bool:
        """Whether it is still at work then."""
        wait_until(lambda: not self.at_work or time.monotonic() - self.began > after_s, after_s + 60)
        return self.at_work

    def end(self, longest_s: float) -> int:
        """Its exit code. Raises HangError, after all its processes were killed."""
        try:
            return self.process.wait(max(1.0, longest_s))
        except subprocess.TimeoutExpired:
            end_all(self.place.folder)
            self.process.wait()
            raise HangError(f"did not end within {longest_s:.0f} s; its output ends: {self.said()[-1500:]}") from None

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def family(self) -> list[psutil.Process]:
        return marked(self.place.folder)

    def interrupt(self) -> None:
        """As Ctrl-C in a terminal does: every process of the group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)
