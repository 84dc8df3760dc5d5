"""One line for each problem that prevents Spark from starting."""

import os
import re
import socket
import sys
from pathlib import Path

import pyspark
import pytest

from pipelines.spark import session
from pipelines.spark.environment import SparkError, check_environment, check_master, check_worker_python
from pipelines.store.writer import cause_of


def program(path: Path, script: str = "exit 0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_HOME", raising=False)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    java = program(tmp_path / "jdk" / "bin" / "java")
    (tmp_path / "jdk" / "release").write_text('IMPLEMENTOR="x"\nJAVA_VERSION="21.0.3"\n')
    monkeypatch.setenv("PATH", str(java.parent))


def test_a_correct_environment_passes_without_starting_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_environment()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    monkeypatch.setenv("SPARK_HOME", str(Path(pyspark.__file__).parent))
    check_environment()


@pytest.mark.parametrize("value", ["/nowhere", ""])
def test_a_wrong_spark_home_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SPARK_HOME", value)
    with pytest.raises(SparkError, match=r"SPARK_HOME=.*: there is no bin/spark-submit in it; unset it"):
        check_environment()


def test_another_spark_than_pyspark_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "spark" / "bin" / "spark-submit")
    program(tmp_path / "spark" / "jars" / "spark-core_2.12-3.5.1.jar")
    monkeypatch.setenv("SPARK_HOME", str(tmp_path / "spark"))
    with pytest.raises(SparkError, match=r"SPARK_HOME=.*: contains Spark 3\.5\.1, but PySpark is"):
        check_environment()


@pytest.mark.parametrize("value", ["/nowhere", "/etc/hostname"])
def test_a_wrong_java_home_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("JAVA_HOME", value)
    with pytest.raises(SparkError, match=rf"JAVA_HOME={value}: there is no bin/java in it; install Java 17 or later"):
        check_environment()


def test_a_missing_java_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SparkError, match="no Java on the PATH; install Java 17 or later"):
        check_environment()


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.2"])
@pytest.mark.parametrize("told_by", ["release", "java"])
def test_an_old_java_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, told_by: str) -> None:
    home = tmp_path / "old"
    program(home / "bin" / "java", f"echo 'openjdk version \"{version}\" 2019-01-15' >&2")
    if told_by == "release":
        (home / "release").write_text(f'JAVA_VERSION="{version}"\n')
    monkeypatch.setenv("JAVA_HOME", str(home))
    number = "8" if version.startswith("1.8") else "11"
    with pytest.raises(SparkError, match=f"JAVA_HOME={home}: Java {number} is too old for Spark; install Java 17"):
        check_environment()


def test_a_java_without_output_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(program(tmp_path / "odd" / "bin" / "java").parents[1]))
    with pytest.raises(SparkError, match="does not report its version; install Java 17"):
        check_environment()


def test_a_dead_master_is_named_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        alive = f"spark://127.0.0.1:{listening.getsockname()[1]}"
        check_master(alive)
        check_master(f"spark://127.0.0.1:1,{alive.removeprefix('spark://')}")
    for dead in ("spark://127.0.0.1:1", "spark://127.0.0.1:1,127.0.0.1:2", "spark://127.0.0.1:what"):
        with pytest.raises(SparkError, match=f"Spark's master {dead} does not answer .*; start it, or use another"):
            check_master(dead)
    check_master("local[2]")
    check_master("k8s://https://10.0.0.1:6443")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, r"cannot be run \(No such file or directory\); unset it"),
        (
            "echo \"ModuleNotFoundError: No module named 'pyarrow'\" >&2; exit 1",
            "No module named 'pyarrow'; install the",
        ),
        ("exit 7", "exit code 7; install the project there"),
        ("echo 3.7", r"is Python 3\.7, this is 3\.\d+; unset it"),
    ],
)
def test_an_unusable_python_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, said: str
) -> None:
    python = tmp_path / "python"
    if script is not None:
        program(python, script)
    monkeypatch.setenv("PYSPARK_PYTHON", str(python))
    with pytest.raises(SparkError, match=f"PYSPARK_PYTHON={python}: .*{said}"):
        check_worker_python("local[*]")
    check_worker_python("spark://elsewhere:7077")  # its executors may have what this machine has not
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    check_worker_python("local[*]")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            'An exception was thrown:\nTraceback (most recent call last):\n  File "x"\n'
            "ModuleNotFoundError: No module named 'pyarrow'\n",
            "an executor's Python has no pyarrow; install the project there (uv sync), or set PYSPARK_PYTHON to a "
            "Python that has it",
        ),
        (
            "An error occurred while calling None.x.\n: org.apache.spark.SparkException: no master\n\tat org.apache\n",
            "SparkException: no master",
        ),
        (
            "An error occurred.\n: java.lang.OutOfMemoryError: Java heap space\n",
            "Java's memory is full; give it more, e.g. spark-submit --driver-memory 4g …, or use fewer partitions",
        ),
        ("one line", "one line"),
        ("", "ValueError"),
    ],
)
def test_the_line_with_the_cause_is_found(text: str, cause: str) -> None:
    assert cause_of(ValueError(text)) == cause


@pytest.mark.parametrize(("given", "used"), [(None, session.QUICK_START), ("-Xmx2g", "-Xmx2g")])
def test_a_job_that_starts_java_does_so_without_its_optimizing_compiler_unless_told_otherwise(
    given: str | None, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYSPARK_GATEWAY_PORT"}
    environment.pop("SPARK_SUBMIT_OPTS", None)
    monkeypatch.setattr(os, "environ", environment if given is None else {**environment, "SPARK_SUBMIT_OPTS": given})

    def no_java() -> None:
        raise OSError(os.environ["SPARK_SUBMIT_OPTS"])

    monkeypatch.setattr(pyspark.SparkContext, "_ensure_initialized", no_java)
    with pytest.raises(SparkError, match=re.escape(f"cannot be started: {used}")), session.started("job"):
        pass
