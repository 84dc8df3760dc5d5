"""The job in this process; tests/faults/test_grids.py kills it."""

from pathlib import Path
from types import ModuleType

import mlflow
import pyarrow.parquet as pq
import pytest
from run_here import RunHere
from small_runs import write_dataset

from training.loop.training import DivergedError

SMALL = (
    "grid.name=small",
    "grid.rows={vanilla: [], psv: ['parseval={beta: 0.05}'], smooth: ['smoothness={gamma: 0.1, power: 1}']}",
    "grid.attacks=[{attack: fgsm, snr_db: [50, 33]}, {attack: {kind: pgd, steps: 2}, snr_db: [33], images: 8}]",
    "data.size_px=8", "epochs=2", "device=cpu", "cache=none", "tracking.system_metrics_every_s=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("datasets") / "gtsrb", variants=("clean", "gaussian-max"))


@pytest.fixture(autouse=True)
def local_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_grid_that_failed_in_one_row_goes_on_and_trains_nothing_twice(
    root: Path, tmp_path: Path, run_grid: ModuleType, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.classifiers.training import ClassifierTraining

    check = ClassifierTraining.check

    def diverging(self: ClassifierTraining) -> dict[str, float]:
        if self.settings.smoothness and self.settings.seed:
            raise DivergedError("loss/train is nan")
        return check(self)

    monkeypatch.setattr(ClassifierTraining, "check", diverging)
    first = run_here(run_grid, tmp_path, f"data.root={root}", "seeds=[0,1]", *SMALL)
    assert first.returncode == 1
    assert "1 trainings have no result" in first.stderr and "smooth, seed 1: loss/train is nan" in first.stderr
    folder = tmp_path / "data/grids/small"
    rows = pq.read_table(folder / "grid.parquet").to_pylist()
    assert {(row["row"], row["seeds"]) for row in rows} == {("vanilla", 2), ("psv", 2), ("smooth", 1)}
    monkeypatch.setattr(ClassifierTraining, "check", check)

    again = run_here(run_grid, tmp_path, f"data.root={root}", "seeds=[0,1]", *SMALL)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("epoch 2/2") == 1, "only the row that had failed is trained"
    rows = pq.read_table(folder / "grid.parquet").to_pylist()
    assert {row["seeds"] for row in rows} == {2} and len(rows) == 3 * 5
    assert {(row["noise"], row["level"], row["images"]) for row in rows if row["row"] == "psv"} == {
        ("none", "none", 20), ("gaussian", "max", 20), ("fgsm", "snr50", 20), ("fgsm", "snr33", 20),
        ("pgd_steps_2", "snr33", 8),
    }  # fmt: skip
    assert "| psv |" in (folder / "grid.md").read_text()

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("grids")
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    finished = [run for run in children if run.info.status == "FINISHED"]
    assert sorted(run.data.tags["row"] for run in finished) == ["psv", "psv", "smooth", "smooth", "vanilla", "vanilla"]
    assert all("accuracy/fgsm-snr33" in run.data.metrics for run in finished)
    mean = [row["accuracy"] for row in rows if (row["row"], row["level"]) == ("psv", "snr50")]
    assert parent.data.metrics["accuracy/psv/fgsm-snr50"] == mean[0]

    changed = run_here(run_grid, tmp_path, f"data.root={root}", "seeds=[0]", "rows=[vanilla]", *SMALL, "epochs=1")
    assert changed.returncode == 0, changed.stderr
    assert "epoch 1/1" in changed.stdout, "other settings are another training"


def test_rows_with_images_beside_and_with_teachers_are_not_trained_twice(
    root: Path, tmp_path: Path, run_grid: ModuleType, run_here: RunHere
) -> None:
    other = write_dataset(tmp_path / "drawn" / "signs", variants=("clean",))
    rows = f"grid.rows={{real: [], real+drawn: ['beside={{root: {other}, share: 0.5}}']}}"
    arguments = (f"data.root={root}", "seeds=[0]", *SMALL, rows, "grid.attacks=[]")
    first = run_here(run_grid, tmp_path, *arguments)
    assert first.returncode == 0, first.stderr
    assert "rejected" not in first.stdout + first.stderr
    again = run_here(run_grid, tmp_path, *arguments)
    assert again.returncode == 0, again.stderr
    assert first.stdout.count("epoch 2/2") == 2 and "epoch" not in again.stdout

    teacher = next((tmp_path / "data/grids/small/runs").glob("*/model.pt"))
    taught = (*arguments[:-2], f"grid.rows={{taught: ['objective={{kind: distillation, teachers: [{teacher}]}}']}}")
    assert "epoch 2/2" in run_here(run_grid, tmp_path, *taught, "grid.attacks=[]").stdout
    assert "epoch" not in run_here(run_grid, tmp_path, *taught, "grid.attacks=[]").stdout

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("grids")
    assert experiment
    parents = [run for run in client.search_runs([experiment.experiment_id]) if "row" not in run.data.tags]
    assert any("accuracy/real_drawn/clean" in run.data.metrics for run in parents), "MLflow takes no + in names"


def test_a_dry_run_names_the_rows_and_makes_nothing(
    root: Path, tmp_path: Path, run_grid: ModuleType, run_here: RunHere
) -> None:
    result = run_here(run_grid, tmp_path, f"data.root={root}", "--dry-run", *SMALL)
    assert result.returncode == 0, result.stderr
    assert "small: 3 rows, seeds [0, 1, 2]" in result.stdout and "smooth: baseline_cnn" in result.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["rows=[five]"], "there are: vanilla, psv, smooth", 2),
        (["variants=[fog-max]"], "fog-max", 1),
        (["groups=recovered"], "gtsrb-test.parquet", 1),
        (["seed=3"], "the grid sets seed itself", 2),
    ],
)
def test_bad_input_is_named(
    root: Path, tmp_path: Path, run_grid: ModuleType, run_here: RunHere, arguments: list[str], message: str, code: int
) -> None:
    result = run_here(run_grid, tmp_path, f"data.root={root}", "seeds=[0]", *SMALL, "epochs=1", *arguments)
    assert result.returncode == code, result.stderr
    assert message in result.stderr
    assert "epoch" not in result.stdout, "refused before anything is trained"
