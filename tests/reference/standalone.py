"""A real standalone Spark cluster on loopback: one master, and workers of one core each."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyspark

SPARK_HOME = Path(pyspark.__file__).parent
LOOPBACK = {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_MASTER_HOST": "127.0.0.1"}


def environment() -> dict[str, str]:
    """The environment of every process of the cluster and of every driver."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **LOOPBACK, "PATH": path, "PYSPARK_PYTHON": sys.executable, "COLUMNS": "200"}


@contextlib.contextmanager
def standalone_cluster(folder: Path, workers: int = 2) -> Iterator[str]:
    """Yields the master's URL; stops the cluster at the end."""
    with contextlib.ExitStack() as stack:
        master = ["master.Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        url = _start(stack, master, folder / "master.log", r"Starting Spark master at (spark://\S+)")
        for number in range(workers):
            options = ["--host", "127.0.0.1", "--cores", "1", "--memory", "1g", "--webui-port", "0"]
            worker = ["worker.Worker", *options, "--work-dir", str(folder / f"work-{number}"), url]
            _start(stack, worker, folder / f"worker-{number}.log", r"(Successfully registered) with master")
        yield url


def _start(stack: contextlib.ExitStack, command: list[str], log: Path, ready: str) -> str:
    program = [str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{command[0]}", *command[1:]]
    with log.open("wb") as out:
        process = subprocess.Popen(program, stdout=out, stderr=subprocess.STDOUT, env=environment())
    stack.callback(_stop, process)
    for _ in range(600):
        found = re.search(ready, log.read_text())
        if found:
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"{command} did not start:\n{log.read_text()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(30)
