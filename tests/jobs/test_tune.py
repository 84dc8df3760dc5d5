"""The job in this process; tests/faults/test_studies.py kills it."""

from pathlib import Path
from types import ModuleType

import mlflow
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from run_here import RunHere
from small_runs import write_dataset

SMALL = (
    "study=baseline_cnn", "study.search={lr: {low: 0.001, high: 0.1, log: true}, batch_size: {choices: [16, 32]}}",
    "data.size_px=8", "epochs=3", "device=cpu", "cache=none", "tracking.system_metrics_every_s=0", "warmup_epochs=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("datasets") / "gtsrb")


def runs(cwd: Path) -> dict[str, list[mlflow.entities.Run]]:
    """The runs of the experiment, by the id of the run that they are nested in."""
    client = mlflow.MlflowClient(f"sqlite:///{cwd}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("tuning")
    assert experiment
    found: dict[str, list[mlflow.entities.Run]] = {}
    for run in client.search_runs([experiment.experiment_id]):
        found.setdefault(run.data.tags.get("mlflow.parentRunId", ""), []).append(run)
    return found


def stored(cwd: Path) -> optuna.Study:
    return optuna.load_study(study_name="baseline_cnn", storage=f"sqlite:///{cwd}/data/studies/baseline_cnn/study.db")


def test_a_study_goes_on_and_its_best_recipe_can_be_trained(
    root: Path, tmp_path: Path, tune: ModuleType, train_classifier: ModuleType, run_here: RunHere,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    first = run_here(tune, tmp_path, f"data.root={root}", "trials=2", "pruning=none", *SMALL)
    assert first.returncode == 0, first.stderr
    more = run_here(tune, tmp_path, f"data.root={root}", "trials=3", "pruning=none", *SMALL)
    assert more.returncode == 0, more.stderr
    assert "1 trials to go" in more.stdout and "3 trials: 3 finished, 0 pruned, 0 failed" in more.stdout

    study = stored(tmp_path)
    (parent,) = runs(tmp_path)[""]
    children = {run.data.tags["trial"]: run for run in runs(tmp_path)[parent.info.run_id]}
    assert parent.info.status == "FINISHED"
    assert children.keys() == {"0", "1", "2"}
    assert parent.data.metrics["best/accuracy/validation"] == study.best_value
    for trial in study.trials:
        run = children[str(trial.number)]
        assert trial.user_attrs["run_id"] == run.info.run_id
        assert float(run.data.params["lr"]) == trial.params["lr"]
        assert run.data.metrics["accuracy/validation"] == trial.value == trial.intermediate_values[3]
    best = tmp_path / "data/studies/baseline_cnn/best.yaml"
    trained = run_here(train_classifier, tmp_path, "--config", str(best), "device=cpu", "--dry-run")
    assert trained.returncode == 0, trained.stderr
    assert f"lr: {study.best_params['lr']}" in trained.stdout
    assert f"batch_size: {study.best_params['batch_size']}\n" in trained.stdout

    changed = run_here(tune, tmp_path, f"data.root={root}", "trials=4", "pruning=none", *SMALL, "weight_decay=0.1")
    assert changed.returncode == 1
    assert 'was started with other settings: weight_decay was "0.0", is "0.1"' in changed.stderr


def second_in_its_second_epoch(_pruner: object, _study: object, trial: FrozenTrial) -> bool:
    return trial.number == 1 and trial.last_step == 2


def test_a_trial_that_is_behind_is_pruned_and_its_run_is_killed(
    root: Path, tmp_path: Path, tune: ModuleType, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(optuna.pruners.MedianPruner, "prune", second_in_its_second_epoch)
    result = run_here(tune, tmp_path, f"data.root={root}", "trials=2", *SMALL)
    assert result.returncode == 0, result.stderr
    assert "trial 1: pruned after epoch 2" in result.stdout
    assert [trial.state for trial in stored(tmp_path).trials] == [TrialState.COMPLETE, TrialState.PRUNED]
    (parent,) = runs(tmp_path)[""]
    statuses = {run.data.tags["trial"]: run.info.status for run in runs(tmp_path)[parent.info.run_id]}
    assert statuses == {"0": "FINISHED", "1": "KILLED"}
    assert "importance of the keys: not known" in result.stdout


def test_a_dry_run_makes_nothing(root: Path, tmp_path: Path, tune: ModuleType, run_here: RunHere) -> None:
    result = run_here(tune, tmp_path, f"data.root={root}", "--dry-run", *SMALL)
    assert result.returncode == 0, result.stderr
    assert "up to 20 trials like this one: baseline_cnn" in result.stdout
    assert not list(tmp_path.iterdir())


def test_a_test_split_is_refused(root: Path, tmp_path: Path, tune: ModuleType, run_here: RunHere) -> None:
    result = run_here(tune, tmp_path, f"data.root={root}", "split=test", *SMALL)
    assert result.returncode == 2
    assert "split: trials are judged on validation, got 'test'" in result.stderr
