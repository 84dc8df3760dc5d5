"""Trainings, evaluations and certificates whose folders are in the bucket of an S3 server."""

from pathlib import Path
from types import ModuleType

import mlflow
import pytest
import torch
from run_here import RunHere
from small_datasets import Small
from small_runs import write_dataset
from upath import UPath

from pipelines.places import below
from pipelines.store.object_lease import leased
from pipelines.store.remote_copy import RemoteCopy
from training.classifiers.trained import Classifier, Shape
from training.evaluation.certification import run as certification
from training.evaluation.certification.images import Outcome
from training.gans.trained import TrainedGan
from training.models.baseline_cnn import BaselineCnn
from training.tracking import Spool

SMALL = ["data.size_px=8", "epochs=2", "batch_size=16", "device=cpu", "cache=none", "tracking.system_metrics_every_s=0"]


@pytest.fixture(autouse=True)
def local_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def weights(file: UPath | Path) -> str:
    return Classifier.read(Path(str(file)), torch.device("cpu")).digest


def test_a_training_and_what_is_made_of_it(
    root: UPath, tmp_path: Path, run_here: RunHere, train_classifier: ModuleType, evaluate_classifiers: ModuleType,
    report_robustness: ModuleType, measure_stability: ModuleType,
) -> None:  # fmt: skip
    data = write_dataset(tmp_path / "datasets" / "gtsrb")
    trained = run_here(train_classifier, tmp_path, f"data.root={data}", f"runs_root={root}/runs", *SMALL)
    assert trained.returncode == 0, trained.stderr
    run_here(train_classifier, tmp_path, f"data.root={data}", *SMALL)
    (here,) = (tmp_path / "data" / "runs").glob("*/model.pt")
    (name,) = {path.partition("/")[0] for path in below(root / "runs")}
    model = root / "runs" / name / "model.pt"
    assert f"model: {model}\n" in trained.stdout
    (tmp_path / "fetched.pt").write_bytes(model.read_bytes())
    assert weights(tmp_path / "fetched.pt") == weights(here)
    assert {"checkpoint.pt", "run.json", "tracking/about.json"} <= set(below(root / "runs" / name))

    shown = {"data.root": data, "data.size_px": 8, "device": "cpu"}
    arguments = [f"{name}={value}" for name, value in shown.items()]
    evaluated = run_here(
        evaluate_classifiers, tmp_path, f"models=[{model},latest]", f"output_root={root}/evaluations", *arguments
    )
    assert evaluated.returncode == 0, evaluated.stderr
    folder = evaluated.stdout.rpartition("tables, figures and reports: ")[2].strip()
    assert folder.startswith(f"{root}/evaluations/")
    assert {"evaluation.parquet", "evaluation.csv", "evaluation.yaml"} <= set(below(UPath(folder)))
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'classifiers'")
    runs = client.search_runs([experiment.experiment_id])
    assert ["accuracy/clean" in run.data.metrics for run in runs] == [True, False]

    reported = run_here(
        report_robustness, tmp_path, f"models={model}", f"output_root={root}/reports", "saliency.images=0", *arguments
    )
    assert reported.returncode == 0, reported.stderr
    page = reported.stdout.rpartition("report: ")[2].strip()
    assert page.startswith(f"{root}/reports/") and page.endswith("/report.html")
    assert UPath(page).read_text().startswith("<!")
    measured = run_here(
        measure_stability, tmp_path, f"model={model}", f"output_root={root}/stability", "data.images=4", *arguments
    )
    assert measured.returncode == 0, measured.stderr
    folder = measured.stdout.rpartition("tables and figures: ")[2].strip()
    assert folder.startswith(f"{root}/stability/")
    assert {"stability.parquet", "stability.yaml", "images.csv"} <= set(below(UPath(folder)))
    assert not [path for path in tmp_path.rglob("*") if path.name == "not_sent"]


def test_a_generator_in_a_bucket_has_the_weights_of_one_on_a_disk(
    root: UPath, tmp_path: Path, run_here: RunHere, train_gan: ModuleType
) -> None:
    data = write_dataset(tmp_path / "datasets" / "gtsrb")
    for place in (f"{root}/runs", "runs"):
        arguments = [f"data.root={data}", "gan=vanilla", f"runs_root={place}", *SMALL]
        done = run_here(train_gan, tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
    (here,) = (tmp_path / "runs").glob("*/model.pt")
    (there,) = [path for path in below(root / "runs") if path.endswith("/model.pt")]
    (tmp_path / "there.pt").write_bytes((root / "runs" / there).read_bytes())
    digests = [TrainedGan.read(path, torch.device("cpu")).digest for path in (here, tmp_path / "there.pt")]
    assert digests[0] == digests[1]
    assert any(path.endswith(".png") for path in below(root / "runs"))


def test_certificates_go_on_after_an_interruption(
    root: UPath, tmp_path: Path, run_here: RunHere, certify_classifier: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    Small({"train": [[4]], "test": [[50, 40]]}, ("clean",), size_px=8).write(tmp_path / "signs")
    shape, model = Shape(8, 43, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3)), BaselineCnn()
    Classifier(shape.build(model, 0), model, shape, {}).write(tmp_path / "plain.pt")
    arguments = (
        "model=plain.pt", "data.root=signs", "data.images=10", "samples=100", "selection_samples=10",
        "attack_samples=20", "attack.steps=1", "attack_draws=1", "device=cpu", "snr_db=[33,50]",
    )  # fmt: skip
    monkeypatch.setattr(certification, "BLOCK", 4)
    real, calls = certification.outcomes, list[int]()

    def interrupted(*given: object) -> list[Outcome]:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(certification, "outcomes", interrupted)
        assert run_here(certify_classifier, tmp_path, *arguments, f"output_root={root}").returncode == 130
    assert sorted(path.rpartition("/")[2] for path in below(root)) == ["000000.parquet", "000004.parquet"]
    resumed = run_here(certify_classifier, tmp_path, *arguments, f"output_root={root}")
    assert resumed.returncode == 0, resumed.stderr
    assert f"8 of 10 images were certified before, in {root}/plain-test-" in resumed.stdout
    whole = run_here(certify_classifier, tmp_path, *arguments, "output_root=whole")
    assert whole.returncode == 0, whole.stderr
    (folder,) = (tmp_path / "whole").iterdir()
    for name in ("images.parquet", "certification.csv"):
        assert (root / folder.name / name).read_bytes() == (folder / name).read_bytes(), name


def test_events_that_a_server_has_not_received_are_sent_from_the_bucket(
    root: UPath, tmp_path: Path, run_here: RunHere, sync_tracking: ModuleType
) -> None:
    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.MlflowClient(tracking)
    run_id = client.create_run("0").info.run_id
    copy = RemoteCopy(root / "runs" / "a")
    with Spool.opened(copy.folder / "tracking") as spool:
        spool.about = {"uri": tracking, "run_id": run_id}
        for step in range(3):
            spool.append(do="metrics", run_id=run_id, metrics={"loss": 1.0}, step=step, at_ms=0)
    with copy.sent():
        pass
    arguments = sync_tracking, tmp_path, f"runs_root={root}/runs"
    with leased(root / "runs" / "a"):
        busy = run_here(*arguments)
    assert busy.stdout == f"{root}/runs/a/tracking: its run is still in progress and sends by itself; skipped\n"
    sent = run_here(*arguments)
    assert sent.stdout.startswith(f"{root}/runs/a/tracking: 3 events of run {run_id} sent to "), sent.stderr
    assert [metric.step for metric in client.get_metric_history(run_id, "loss")] == [0, 1, 2]
    assert run_here(*arguments).stdout == f"{root}/runs: nothing to send\n"
    assert not [path for path in below(root) if "_lease" in path]
