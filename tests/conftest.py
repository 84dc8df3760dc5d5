"""Fixtures that several folders of tests share."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType

import pytest
from hypothesis import settings
from pyspark.sql import SparkSession
from run_here import RunHere

pytest_plugins = ["s3_bucket"]
REPOSITORY = Path(__file__).parents[1]
settings.register_profile("tests", deadline=None)  # the time of an example depends on what else the machine does
settings.load_profile("tests")


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A local session with two cores, shared by all tests of a run."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder: SparkSession.Builder = SparkSession.builder
    session = (
        builder.master("local[2]")
        .appName("tests")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "100")
        .config("spark.log.level", "OFF")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture
def run_here(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RunHere:
    """run_here(job, cwd, *arguments): a job with its arguments in this process and, if it needs Spark, in the shared
    session. A process of its own would import and start all of that again, which takes longer than the job."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("pipelines.spark.session.started", lambda _: nullcontext(request.getfixturevalue("spark")))

    def run(job: ModuleType, cwd: Path, *arguments: str) -> CompletedProcess[str]:
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        exit_code = job.main(list(arguments))
        return CompletedProcess(list(arguments), exit_code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database to copy, since MLflow takes seconds to create its tables."""
    from training.tracking.server import Server  # here: tests of pipelines need not import MLflow

    database = tmp_path_factory.mktemp("empty_mlflow") / "mlflow.db"
    Server(f"sqlite:///{database}")
    return database


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make_noisy_datasets() -> ModuleType:
    """The job's module, loaded by its path, since jobs cannot be imported."""
    return _load(REPOSITORY / "jobs" / "make_noisy_datasets.py")


@pytest.fixture(scope="session")
def make_adversarial_datasets() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "make_adversarial_datasets.py")


@pytest.fixture(scope="session")
def train_classifier() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "train_classifier.py")


@pytest.fixture(scope="session")
def sync_tracking() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "sync_tracking.py")


@pytest.fixture(scope="session")
def evaluate_classifiers() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "evaluate_classifiers.py")


@pytest.fixture(scope="session")
def measure_stability() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "measure_stability.py")


@pytest.fixture(scope="session")
def evaluate_gans() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "evaluate_gans.py")


@pytest.fixture(scope="session")
def make_generated_datasets() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "make_generated_datasets.py")


@pytest.fixture(scope="session")
def train_gan() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "train_gan.py")


@pytest.fixture(scope="session")
def train_robust() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "train_robust.py")


@pytest.fixture(scope="session")
def rollback() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "rollback.py")


@pytest.fixture(scope="session")
def score_images() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "score_images.py")


@pytest.fixture(scope="session")
def recover_tracks() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "recover_tracks.py")


@pytest.fixture(scope="session")
def tune() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "tune.py")


@pytest.fixture(scope="session")
def run_grid() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "run_grid.py")


@pytest.fixture(scope="session")
def certify_classifier() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "certify_classifier.py")


@pytest.fixture(scope="session")
def report_robustness() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "report_robustness.py")


@pytest.fixture(scope="session")
def explain_model() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "explain_model.py")


@pytest.fixture(scope="session")
def compare_runs() -> ModuleType:
    return _load(REPOSITORY / "jobs" / "compare_runs.py")
