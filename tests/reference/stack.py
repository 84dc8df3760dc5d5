"""The services of docker/ as processes on loopback, each run by its own script with the variables of compose.yaml."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).parents[2]
USER, PASSWORD = "roadsign", "a password of the tests"
SLOW_START_S = 300


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs; None if it is not installed or there is no user to run it, since it refuses
    to run as root."""
    initdb = shutil.which("initdb") or max(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)
    if initdb is None or (os.geteuid() == 0 and shutil.which("runuser") is None):
        return None
    return Path(initdb).resolve().parent


class Stack:
    """`folder` must be one that all users may enter. Services are started by name, in the order of compose.yaml;
    `others` are variables besides those of its default profile, or other values."""

    def __init__(self, folder: Path, **others: str) -> None:
        self.folder = folder
        self.others = others
        self.services = Path(shutil.copytree(REPOSITORY / "docker" / "services", folder / "services"))
        self.ports = {name: free_port() for name in ("postgres", "mlflow", "spark-master", "master-ui")}
        self.postgres = postgres_programs()
        self.mlflow_url = f"http://127.0.0.1:{self.ports['mlflow']}"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        for name, text in (("db", "secret of the database"), ("mlflow", PASSWORD), ("key", "k"), ("spark", "of Spark")):
            (folder / name).write_text(f"{text}\n")

    @property
    def store(self) -> str:
        if self.postgres:
            return f"postgresql+psycopg2://{USER}@127.0.0.1:{self.ports['postgres']}/roadsign"
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def variables(self, name: str) -> dict[str, str]:
        """The variables that compose.yaml sets for every service, with this machine's addresses."""
        path = [str(Path(sys.executable).parent), *([str(self.postgres)] if self.postgres else []), os.environ["PATH"]]
        inherited = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        return {
            **inherited,
            "PATH": os.pathsep.join(path),
            "COLUMNS": "200",
            "ROADSIGN_RUN": str(self.folder / f"run-{name}"),
            "ROADSIGN_LISTEN": "127.0.0.1",
            "PGDATA": str(self.folder / "database"),
            "PGPORT": str(self.ports["postgres"]),
            "PGPASSWORD_FILE": str(self.folder / "db"),
            "ROADSIGN_STORE": self.store,
            "ROADSIGN_USERS": self.store.replace("mlflow.db", "users.db"),
            "ROADSIGN_ARTIFACTS": str(self.folder / "artifacts"),
            "ROADSIGN_MLFLOW_KEY_FILE": str(self.folder / "key"),
            "MLFLOW_PORT": str(self.ports["mlflow"]),
            "MLFLOW_TRACKING_PASSWORD_FILE": str(self.folder / "mlflow"),
            "ROADSIGN_SPARK_SECRET_FILE": str(self.folder / "spark"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_MASTER_HOST": "127.0.0.1",
            "SPARK_MASTER_PORT": str(self.ports["spark-master"]),
            "SPARK_MASTER_WEBUI_PORT": str(self.ports["master-ui"]),
            "SPARK_MASTER_URL": f"spark://127.0.0.1:{self.ports['spark-master']}",
            "SPARK_WORKER_HOST": "127.0.0.1",
            "SPARK_WORKER_WEBUI_PORT": "0",
            "SPARK_WORKER_CORES": "1",
            "SPARK_WORKER_MEMORY": "1g",
            "SPARK_WORKER_DIR": str(self.folder / f"work-{name}"),
            **self.others,
        }

    def start(self, name: str, ready: Callable[[], bool], service: str | None = None) -> None:
        """Starts a service and waits until it is ready; `name` distinguishes several processes of one `service`."""
        command = [str(self.services / "start.sh"), service or name]
        if name == "postgres" and os.geteuid() == 0:
            self.folder.chmod(0o777)
            command = ["runuser", "-u", "postgres", "--", *command]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, env=self.variables(name), start_new_session=True
            )
        self.running[name] = process
        deadline = time.monotonic() + SLOW_START_S
        while not ready():
            assert process.poll() is None and time.monotonic() < deadline, self.log(name)
            time.sleep(0.2)

    def start_all(self) -> None:
        if self.postgres:
            self.start_postgres()
        self.start("spark-master", lambda: self.master() is not None)
        self.start_mlflow()
        for number in (1, 2):
            self.start_worker(number, expected=number)

    def start_postgres(self) -> None:
        assert self.postgres is not None
        asked = [str(self.postgres / "pg_isready"), "--host=127.0.0.1", f"--port={self.ports['postgres']}", "--quiet"]
        self.start("postgres", lambda: subprocess.run(asked, check=False).returncode == 0)

    def start_mlflow(self) -> None:
        self.start("mlflow", lambda: self.status("/health") == 200)

    def start_worker(self, number: int, expected: int) -> None:
        """Starts a worker and waits until this many workers are alive."""
        self.start(f"worker-{number}", lambda: self.alive_workers() >= expected, "spark-worker")

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def status(self, path: str, user: str = "", password: str = "", host: str = "") -> int:
        """The status of MLflow's response to a GET, 0 without a response; `host` replaces the host header."""
        request = urllib.request.Request(self.mlflow_url + path, headers={"Host": host} if host else {})
        return self._answer(request, user, password)[0]

    def post(self, what: str, data: dict[str, Any], user: str, password: str) -> tuple[int, dict[str, Any]]:
        """The status of MLflow's response to a POST, and its body if the status is 200."""
        request = urllib.request.Request(
            f"{self.mlflow_url}/api/2.0/mlflow/{what}", json.dumps(data).encode(), {"Content-Type": "application/json"}
        )
        status, text = self._answer(request, user, password)
        return status, json.loads(text) if status == 200 else {}

    def _answer(self, request: urllib.request.Request, user: str, password: str) -> tuple[int, bytes]:
        if user:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, b""
        except OSError:
            return 0, b""

    def master(self) -> dict[str, Any] | None:
        """The status report of Spark's master."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['master-ui']}/json/", timeout=5) as answer:
                return dict(json.load(answer))
        except OSError:
            return None

    def alive_workers(self) -> int:
        said = self.master()
        return len([worker for worker in said["workers"] if worker["state"] == "ALIVE"]) if said else 0

    def run_job(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a job as the service trainer does, in the stack's folder `jobs`."""
        return subprocess.run(
            self._job(*arguments), cwd=self.jobs, env=self._job_variables(**variables), capture_output=True, text=True,
            timeout=900, check=False,
        )  # fmt: skip

    def start_job(self, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
        with log.open("wb") as out:
            return subprocess.Popen(
                self._job(*arguments), cwd=self.jobs, env=self._job_variables(), stdout=out, stderr=subprocess.STDOUT
            )

    @property
    def jobs(self) -> Path:
        (self.folder / "jobs").mkdir(exist_ok=True)
        return self.folder / "jobs"

    def _job(self, *arguments: str) -> list[str]:
        return [str(self.services / "start.sh"), "trainer", *arguments]

    def _job_variables(self, **variables: str) -> dict[str, str]:
        return {
            **self.variables("trainer"),
            "ROADSIGN_JOBS": str(REPOSITORY / "jobs"),
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            **variables,
        }

    def kill(self, name: str) -> None:
        """Kills a service and all processes that it started with SIGKILL."""
        process = self.running.pop(name)
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in family:
            one.kill()
        process.wait()
        psutil.wait_procs(family, timeout=60)

    def stop_all(self) -> None:
        for name in [name for name, process in self.running.items() if process.poll() is None]:
            self.kill(name)
