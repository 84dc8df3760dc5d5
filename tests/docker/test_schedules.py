"""The examples for schedulers: they call existing jobs with valid arguments, and the schedulers accept them."""

import ast
import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.settings import load
from training.retraining.service import BusyError
from training.retraining.settings import Retrain

REPOSITORY = Path(__file__).parents[2]
SCHEDULES = REPOSITORY / "docker" / "schedules"
DAG_FILE = SCHEDULES / "airflow_retrain.py"
CHECKOUT = "/opt/roadsign"
AIRFLOW = "apache-airflow==3.3.2"
IN_AIRFLOW = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowSkipException

bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
(dag,) = bag.dags.values()
(task,) = dag.tasks
task.cwd = sys.argv[2]
try:
    ended = task.execute({})
except AirflowSkipException:
    ended = "skipped"
print(json.dumps([dag.dag_id, dag.catchup, dag.max_active_runs, task.retries, ended]))
"""


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(SCHEDULES / name)
    return parser


def called(function: str) -> dict[str, Any]:
    """The keyword arguments of the only call of `function` in the DAG's file."""
    (call,) = [
        node
        for node in ast.walk(ast.parse(DAG_FILE.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
    ]
    values = {word.arg: word.value for word in call.keywords if word.arg}
    return {name: ast.literal_eval(value) for name, value in values.items() if isinstance(value, ast.Constant)}


def cron_line() -> str:
    text = (SCHEDULES / "crontab").read_text()
    assert text.endswith("\n"), "cron leaves out a line without an end"
    (line,) = [line for line in text.splitlines() if not line.startswith("#") and not re.match(r"\w+=", line)]
    return line


def commands() -> dict[str, str]:
    service = unit("roadsign-retrain.service")["Service"]
    operator = called("BashOperator")
    return {
        "cron": cron_line().split(None, 6)[6],
        "systemd": f"cd {service['WorkingDirectory']} && {service['ExecStart'].removeprefix(CHECKOUT + '/')}",
        "airflow": f"cd {operator['cwd']} && {operator['bash_command'].removeprefix('exec ')}",
    }


@pytest.mark.parametrize("scheduler", ["cron", "systemd", "airflow"])
def test_every_scheduler_calls_the_job_with_arguments_that_it_takes(scheduler: str) -> None:
    begin, job, *arguments = re.split(r" (?=jobs/)|(?<=\.py) ", commands()[scheduler])
    assert begin == f"cd {CHECKOUT} && .venv/bin/python"
    assert (REPOSITORY / job).is_file()
    load(Retrain, REPOSITORY / "conf" / "retrain.yaml", shlex.split(" ".join(arguments)))


def test_cron_accepts_its_line() -> None:
    *when, user, command = cron_line().split(None, 6)
    assert all(re.fullmatch(r"\d+|\*", field) for field in when) and len(when) == 5
    assert user == "roadsign"
    assert "%" not in command, "to cron that is the end of the line"


def test_systemd_catches_up_on_a_missed_night_and_accepts_that_another_batch_is_running() -> None:
    assert unit("roadsign-retrain.timer")["Timer"]["Persistent"] == "true"
    assert str(BusyError.exit_code) in unit("roadsign-retrain.service")["Service"]["SuccessExitStatus"].split()


def test_systemd_reports_no_problem_with_its_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    for name in ("roadsign-retrain.service", "roadsign-retrain.timer"):
        text = (SCHEDULES / name).read_text()
        (tmp_path / name).write_text(text.replace(f"{CHECKOUT}/.venv/bin/python", sys.executable))
    command = [analyze, "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "roadsign" not in done.stderr, done.stderr


def test_the_dag_runs_one_batch_at_a_time_and_one_for_all_missed_ones() -> None:
    dag, operator = called("DAG"), called("BashOperator")
    assert (dag["catchup"], dag["max_active_runs"]) == (False, 1)
    assert operator["skip_on_exit_code"] == BusyError.exit_code


def in_airflow(*command: str) -> subprocess.CompletedProcess[str]:
    """In a separate environment, since Airflow's requirements conflict with this project's."""
    uv = str(Path(sys.executable).with_name("uv"))
    return subprocess.run(
        [uv, "run", "--isolated", "--no-project", "--python", sys.executable, "--with", AIRFLOW, "python", *command],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_airflow_imports_the_dag_and_skips_if_another_batch_is_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    installed = in_airflow("-c", "import airflow")
    if re.search("Failed to fetch|Failed to download|network was disabled", installed.stderr):
        pytest.skip(f"{AIRFLOW} cannot be fetched from an index of packages: {installed.stderr.splitlines()[0]}")
    assert installed.returncode == 0, installed.stderr
    python = tmp_path / "checkout" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    for exit_code, ended in ((0, "jobs/retrain.py dataset.root=data/raw/GTSRB"), (BusyError.exit_code, "skipped")):
        python.write_text(f'#!/bin/sh\necho "$@"\nexit {exit_code}\n')
        python.chmod(0o755)
        done = in_airflow("-c", IN_AIRFLOW, str(SCHEDULES), str(tmp_path / "checkout"))
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == f'["roadsign_retrain", false, 1, 0, "{ended}"]'
