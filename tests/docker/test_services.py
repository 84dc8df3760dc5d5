"""The scripts of the services before they serve anything; tests/cluster starts the services."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DOCKER = Path(__file__).parents[2] / "docker"
SERVICES = DOCKER / "services"
SCRIPTS = sorted(DOCKER.rglob("*.sh"))


def test_shellcheck_reports_no_problem() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, "--external-sources", *SCRIPTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_stops_at_the_first_error_and_can_be_run(path: Path) -> None:
    sourced = path.name in ("secrets.sh", "spark-conf.sh")
    assert sourced or path.read_text().startswith("#!/usr/bin/env bash\n# ")
    assert sourced or "\nset -euo pipefail\n" in path.read_text()
    assert os.access(path, os.X_OK) != sourced


def secret(**variables: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-euc", f". {SERVICES}/secrets.sh; found=$(secret THING); echo got $found"]
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_secret_comes_from_a_file_before_the_environment(tmp_path: Path) -> None:
    (tmp_path / "thing").write_text("from file\n")
    assert secret(THING="plain").stdout == "got plain\n"
    assert secret(THING="plain", THING_FILE=str(tmp_path / "thing")).stdout == "got from file\n"


def test_a_missing_secret_stops_the_service() -> None:
    done = secret()
    assert done.returncode != 0 and done.stdout == ""
    assert done.stderr == "error: set THING_FILE to the name of a file that holds the secret, or set THING\n"


def test_start_runs_the_service_that_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [SERVICES / "start.sh", "trainer", "nothing"], check=False, env=jobs(tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == "error: nothing: there is no such job; there are: ./retrain.py\n"


def jobs(folder: Path, source: str = "") -> dict[str, str]:
    """An environment whose only job is retrain, with this source."""
    (folder / "jobs").mkdir()
    (folder / "jobs" / "retrain.py").write_text(source)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ, "PATH": path, "ROADSIGN_JOBS": str(folder / "jobs"), "ROADSIGN_RUN": str(folder / "run"),
        "ROADSIGN_SPARK_SECRET": "s3cret",
    }  # fmt: skip


def test_a_job_reads_sparks_secret_from_a_file_only_its_user_can_read(tmp_path: Path) -> None:
    source = "import os, sys; print(sys.argv[1:], os.environ['SPARK_CONF_DIR'])"
    environment = {**jobs(tmp_path, source), "SPARK_MASTER_URL": "spark://m:7077"}
    command = [SERVICES / "trainer.sh", "retrain", "seed=1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"['seed=1'] {tmp_path}/run/spark\n"
    conf = tmp_path / "run" / "spark" / "spark-defaults.conf"
    assert conf.stat().st_mode & 0o777 == 0o600
    assert "spark.authenticate.secret s3cret\n" in conf.read_text()
    assert "spark.master spark://m:7077\n" in conf.read_text()


def test_the_scheduler_is_the_job_itself_and_so_gets_its_signals(tmp_path: Path) -> None:
    source = "import os, sys; print(sys.argv[1:], os.getpid())"
    command = [SERVICES / "start.sh", "scheduler", "schedule.every_h=1"]
    with subprocess.Popen(command, env=jobs(tmp_path, source), stdout=subprocess.PIPE, text=True) as scheduler:
        said, _ = scheduler.communicate()
    assert said == f"['--scheduled', 'schedule.every_h=1'] {scheduler.pid}\n"


def test_sparks_connections_are_authenticated_and_encrypted(tmp_path: Path) -> None:
    """In the configuration file of drivers, master and workers; executors get it from their driver."""
    subprocess.run([SERVICES / "trainer.sh", "retrain"], env=jobs(tmp_path), capture_output=True, check=True)
    conf = (tmp_path / "run" / "spark" / "spark-defaults.conf").read_text().splitlines()
    assert {"spark.authenticate true", "spark.network.crypto.enabled true"} < set(conf)


@pytest.mark.parametrize(
    ("variables", "hosts"),
    [({}, "localhost:*,127.0.0.1:*"), ({"ROADSIGN_ALLOWED_HOSTS": "mlflow:5000"}, "mlflow:5000")],
    ids=["default", "named"],
)
def test_mlflow_requires_a_password_grants_nothing_by_default_and_checks_host_names(
    tmp_path: Path, variables: dict[str, str], hosts: str
) -> None:
    """In the settings with which mlflow.sh starts the server; tests/cluster tests the running server."""
    (tmp_path / "mlflow").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\ncat "$MLFLOW_AUTH_CONFIG_PATH"\n')
    (tmp_path / "mlflow").chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "ROADSIGN_RUN": str(tmp_path / "run"),
        "ROADSIGN_STORE": "sqlite:///x.db", "ROADSIGN_ARTIFACTS": "artifacts", "ROADSIGN_MLFLOW_KEY": "k",
        "MLFLOW_TRACKING_PASSWORD": "p", **variables,
    }  # fmt: skip
    done = subprocess.run([SERVICES / "mlflow.sh"], env=environment, capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert said[said.index("--app-name") + 1] == "basic-auth"
    assert said[said.index("--allowed-hosts") + 1] == hosts
    assert {"default_permission = NO_PERMISSIONS", "admin_username = roadsign"} < set(said)
