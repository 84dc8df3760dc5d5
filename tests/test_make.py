"""The Makefile on a machine that lacks a tool."""

import os
import shutil
import subprocess
import sys
from pathlib import Path


def run_make(repository: Path, target: str, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": str(path), "HOME": os.environ.get("HOME", "/"), **environment}
    command = [shutil.which("make") or "make", "--no-print-directory", target]
    return subprocess.run(command, cwd=repository, env=variables, capture_output=True, text=True, check=False)


def tools(folder: Path, *names: str) -> Path:
    """A PATH with only these tools."""
    for name in names:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def fake(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_a_missing_java_is_reported_in_one_line(repository: Path, tmp_path: Path) -> None:
    done = run_make(repository, "java", tools(tmp_path, "sh", "sed"))
    assert done.returncode != 0
    assert done.stdout.splitlines() == [
        "Java 17 or 21 is needed (found: none): "
        "install it, e.g. apt-get install openjdk-17-jre-headless, or set JAVA_HOME"
    ]


def test_java_of_another_version_is_reported_in_one_line(repository: Path, tmp_path: Path) -> None:
    path = tools(tmp_path, "sh", "sed")
    fake(path, "java", "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2")
    done = run_make(repository, "java", path)
    assert done.returncode != 0
    assert done.stdout.startswith("Java 17 or 21 is needed (found: 11)")


def test_java_home_comes_before_the_path(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "jdk" / "bin").mkdir(parents=True)
    fake(tmp_path / "jdk" / "bin", "java", "echo 'openjdk version \"21.0.1\" 2023-10-17' >&2")
    done = run_make(repository, "java", tools(tmp_path, "sh", "sed"), JAVA_HOME=str(tmp_path / "jdk"))
    assert done.returncode == 0, done.stdout


def test_uv_comes_from_a_virtual_environment_of_its_own_where_it_is_missing(repository: Path, tmp_path: Path) -> None:
    variables = {"PATH": str(tools(tmp_path, "sh", "sed"))}
    command = [shutil.which("make") or "make", "--dry-run", "--always-make", "environment"]
    done = subprocess.run(command, cwd=repository, env=variables, capture_output=True, text=True, check=True)
    assert "python3 -m venv .uv" in done.stdout
    assert ".uv/bin/pip install --quiet uv" in done.stdout
    assert ".uv/bin/uv sync --frozen --group dev" in done.stdout


def test_what_uv_run_installs_by_itself_is_what_the_jobs_need(repository: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "export", "--frozen", "--offline", "--no-hashes", "--no-emit-project"]
    jobs, dev = (
        {line.partition("==")[0] for line in done.stdout.splitlines() if "==" in line and line[0] not in " #"}
        for done in (
            subprocess.run([*command, *more], cwd=repository, capture_output=True, text=True, check=True)
            for more in ([], ["--group", "dev"])
        )
    )
    assert {"mlflow", "petastorm", "torch"} <= jobs < dev
    assert not jobs & {"pytest", "mypy", "ruff", "moto"}


def test_an_audit_that_cannot_ask_the_index_fails_and_finds_nothing_silently(repository: Path, tmp_path: Path) -> None:
    path = tools(tmp_path, "sh", "mktemp", "rm")
    fake(path, "uv", 'test "$1" = export')  # the lock file is there, pip-audit or its index is not
    done = run_make(repository, "audit", path)
    assert done.returncode != 0
    assert "vulnerable, or the index does not say" in done.stdout
    fake(path, "uv", "exit 0")
    assert run_make(repository, "audit", path).returncode == 0
