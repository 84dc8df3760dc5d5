"""Checks of the environment before Spark is started: wrong folders in variables, no Java or an old one."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pyspark

from pipelines.errors import RoadsignError

__all__ = ["SparkError", "check_environment", "check_master", "check_worker_python"]

OLDEST_JAVA = 17
CONNECT_S = 5.0
NEEDED = "import sys, numpy, pyarrow, pipelines; print('%d.%d' % sys.version_info[:2])"


class SparkError(RoadsignError):
    """Spark cannot be started, or has ended; the message names the variable."""


def check_environment() -> None:
    """Checks made before Java is started. Raises SparkError."""
    home = os.environ.get("SPARK_HOME")
    if home is not None:
        _check_spark(Path(home))
    _check_java(os.environ.get("JAVA_HOME"))


def check_master(master: str) -> None:
    """Checks whether the master of a standalone cluster listens; Spark itself would try for a minute. Raises
    SparkError."""
    if not master.startswith("spark://"):
        return
    refused = ""
    for place in master.removeprefix("spark://").split(","):
        try:
            address = urlsplit(f"//{place}")
            socket.create_connection((address.hostname or "", address.port or 7077), CONNECT_S).close()
        except (OSError, ValueError) as error:
            refused = str(error)
        else:
            return
    raise SparkError(
        f"Spark's master {master} does not answer ({refused}); start it, or use another one (spark-submit --master, "
        "SPARK_MASTER_URL, or spark.master in spark-defaults.conf)"
    )


def check_worker_python(master: str) -> None:
    """Checks the Python of executors on this machine, if it is another one than this. Raises SparkError."""
    python = os.environ["PYSPARK_PYTHON"]
    if not master.startswith("local") or python == sys.executable:
        return
    try:
        ran = subprocess.run([python, "-c", NEEDED], capture_output=True, text=True, check=False)
    except OSError as error:
        raise SparkError(
            f"PYSPARK_PYTHON={python}: cannot be run ({error.strerror}); unset it, or use another"
        ) from None
    version = ".".join(map(str, sys.version_info[:2]))
    if ran.returncode:
        why = (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1]
        raise SparkError(f"PYSPARK_PYTHON={python}: {why}; install the project there (uv sync), or unset it")
    if ran.stdout.strip() != version:
        raise SparkError(f"PYSPARK_PYTHON={python}: is Python {ran.stdout.strip()}, this is {version}; unset it")


def _check_spark(home: Path) -> None:
    if not (home / "bin" / "spark-submit").is_file():
        raise SparkError(f"SPARK_HOME={home}: there is no bin/spark-submit in it; unset it, or use a folder of Spark")
    found = [re.sub(r"^spark-core_[\d.]+-|\.jar$", "", jar.name) for jar in (home / "jars").glob("spark-core_*.jar")]
    if found and found[0].split(".")[:2] != pyspark.__version__.split(".")[:2]:
        raise SparkError(
            f"SPARK_HOME={home}: contains Spark {found[0]}, but PySpark is {pyspark.__version__}; unset it, or use "
            "a folder of the same version"
        )


def _check_java(home: str | None) -> None:
    java = shutil.which(Path(home) / "bin" / "java" if home else "java")
    name = f"JAVA_HOME={home}: " if home else ""
    advice = "install Java 17 or later (apt-get install openjdk-17-jre-headless), or set JAVA_HOME to its folder"
    if java is None:
        raise SparkError(f"{name}there is no bin/java in it; {advice}" if home else f"no Java on the PATH; {advice}")
    version = _java_version(Path(java))
    if version < OLDEST_JAVA:
        found = f"Java {version} is too old for Spark" if version else f"{java} does not report its version"
        raise SparkError(f"{name}{found}; {advice}")


def _java_version(java: Path) -> int:
    """8, 17, 21, …; 0 if it cannot be determined. The file `release` in its folder makes it unnecessary to start
    Java."""
    try:
        told = (java.resolve().parents[1] / "release").read_text(errors="replace")
    except OSError:
        told = ""
    if "JAVA_VERSION" not in told:
        try:
            told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=60).stderr
        except (OSError, subprocess.TimeoutExpired):
            return 0
    found = re.search(r'(?:version |JAVA_VERSION=)"(?:1\.)?(\d+)', told)
    return int(found[1]) if found else 0
