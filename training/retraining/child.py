"""A job in a child process that does not outlive its parent.

On Linux the kernel ends it with its parent, even if the parent is killed; elsewhere it runs to its end, and until then
the locks of datasets and runs exclude others.

    python -m training.retraining.child PARENT SCRIPT ARGUMENTS…
"""

import ctypes
import os
import runpy
import shlex
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from pipelines.errors import RoadsignError

__all__ = ["JobFailedError", "run_child"]

PR_SET_PDEATHSIG = 1
LINES_KEPT = 50


class JobFailedError(RoadsignError):
    """A job that is a step of a batch has failed."""


def run_child(script: Path, arguments: Sequence[str]) -> None:
    """Runs the script, printing the command and its output. Raises JobFailedError, with the error of the job."""
    print(f"$ python {script.parent.name}/{script.name} {shlex.join(arguments)}", flush=True)
    command = [sys.executable, "-m", "training.retraining.child", str(os.getpid()), str(script), *arguments]
    output: deque[str] = deque(maxlen=LINES_KEPT)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                text = line.decode(errors="replace")
                print(text, end="", flush=True)
                output.append(text.rstrip())
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        why = next(
            (line for line in reversed(output) if line.startswith("error: ")), output[-1] if output else "no output"
        )
        raise JobFailedError(f"{script.stem} ended with exit code {child.returncode}: {why.removeprefix('error: ')}")


def main() -> None:
    parent, script, *arguments = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("error: the parent process has ended")
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
