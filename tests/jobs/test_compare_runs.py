"""The page of runs on the command line, from a real store."""

import shutil
from pathlib import Path
from types import ModuleType

import pytest
from mlflow import MlflowClient
from run_here import RunHere


@pytest.fixture
def cwd(empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose store has two seeds of one recipe, one of another, and a run that has not ended."""
    database = tmp_path / "mlruns" / "mlflow.db"
    database.parent.mkdir()
    shutil.copy(empty_mlflow, database)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.create_experiment("classifiers", (tmp_path / "artifacts").as_uri())
    for name, seed, lr, accuracy in (("a", 0, 0.1, 0.9), ("a", 1, 0.1, 0.8), ("b", 0, 0.2, 0.7), ("c", 0, 0.3, 0.6)):
        run = client.create_run(experiment, run_name=f"{name}-40px-seed{seed}").info.run_id
        for key, value in (("seed", seed), ("lr", lr), ("epochs", 3)):
            client.log_param(run, key, value)
        client.log_metric(run, "accuracy/clean", accuracy)
        if name != "c":
            client.set_terminated(run)
    return tmp_path


def test_the_page_has_every_finished_run_and_what_differs(
    cwd: Path, compare_runs: ModuleType, run_here: RunHere
) -> None:
    done = run_here(compare_runs, cwd, "metric=accuracy/clean", "output=page.html")
    assert done.returncode == 0, done.stderr
    assert "page.html: 3 runs; open it in a browser" in done.stdout
    text = (cwd / "page.html").read_text()
    assert all(name in text for name in ("a-40px-seed0", "a-40px-seed1", "b-40px-seed0"))
    assert "c-40px" not in text
    assert "https://" not in text


def test_an_unknown_experiment_makes_no_page(cwd: Path, compare_runs: ModuleType, run_here: RunHere) -> None:
    done = run_here(compare_runs, cwd, "experiment=signs", "output=page.html")
    assert done.returncode != 0
    assert "signs" in done.stderr
    assert not (cwd / "page.html").exists()


def test_a_dry_run_counts_the_runs_and_makes_no_page(cwd: Path, compare_runs: ModuleType, run_here: RunHere) -> None:
    done = run_here(compare_runs, cwd, "metric=accuracy/clean", "output=page.html", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would compare 3 runs" in done.stdout
    assert not (cwd / "page.html").exists()
