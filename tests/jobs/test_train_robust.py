"""The job in this process; tests/faults runs it as a process that is killed."""

import re
from pathlib import Path
from types import ModuleType

import mlflow
import pyarrow.parquet as pq
import pytest
import torch
from small_datasets import Small
from small_joint import PARTS, write_digits

from pipelines.datasets.mnist import Mnist
from training.classifiers.trained import Classifier
from training.gans.trained import TrainedGan

SMALL = [
    "data.size_px=8", "iterations=4", "keep_every=2", "gan.n_critic=2", "gan.width=2", "batch_size=16", "samples=20",
    "classifier_seeds=[0,1]", "device=cpu", "tracking.system_metrics_every_s=0",
]  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("datasets") / "mnist")


@pytest.fixture(scope="module")
def cwd(train_robust: ModuleType, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which the job has run once."""
    cwd = tmp_path_factory.mktemp("cwd")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert train_robust.main([f"data.root={root}", *SMALL]) == 0
    return cwd


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_folder(cwd: Path) -> Path:
    (folder,) = (cwd / "data" / "runs").iterdir()
    return folder


def test_classifiers_are_ordinary_model_files_and_equal_seeds_alone_differ(cwd: Path, root: Path) -> None:
    names = [f"{kind}-seed{seed}" for kind in ("classic", "robust") for seed in (0, 1)]
    folder = run_folder(cwd)
    assert sorted(path.stem for path in (folder / "classifiers").iterdir()) == names
    found = {name: Classifier.read(folder / "classifiers" / f"{name}.pt", CPU) for name in names}
    assert len({classifier.digest for classifier in found.values()}) == 4
    for classifier in found.values():
        assert (classifier.shape.channels, classifier.shape.size_px, classifier.shape.num_classes) == (1, 8, 10)
        assert classifier.difference(Mnist.card) == ""
        assert classifier.geometry == "crop_or_pad"
        assert classifier.about["settings"]["data"]["root"] == str(root)
    one, other = (dict(found[f"robust-seed{seed}"].about["settings"]) for seed in (0, 1))
    assert (one.pop("seed"), other.pop("seed")) == (0, 1)
    assert one == other
    assert Classifier.read(folder / "model.pt", CPU).digest == found["robust-seed0"].digest


def test_the_generator_is_kept_after_every_round(cwd: Path) -> None:
    folder = run_folder(cwd)
    assert sorted(path.name for path in (folder / "generators").iterdir()) == [
        "iteration-000002.pt", "iteration-000004.pt",
    ]  # fmt: skip
    early, late = (TrainedGan.read(path, CPU) for path in sorted((folder / "generators").iterdir()))
    assert early.digest != late.digest
    assert (early.about["metrics"]["iteration"], late.about["metrics"]["iteration"]) == (2, 4)
    assert late.sample(torch.tensor([3, 4]), torch.Generator()).shape == (2, 1, 8, 8)


def test_the_run_has_the_comparison_its_charts_and_metrics(cwd: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{cwd}/mlruns/mlflow.db")
    (experiment,) = [found for found in client.search_experiments() if found.name == "robust"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    places = ("checkpoint", "classifiers", "comparison", "figures", "generators", "samples")
    names = {file.path for place in places for file in client.list_artifacts(run.info.run_id, place)}
    assert names >= {
        "checkpoint/model.pt", "classifiers/classic-seed1.pt", "comparison/comparison.md", "figures/losses.png",
        "comparison/comparison.parquet", "comparison/accuracy_by_iteration.png", "generators/iteration-000004.pt",
        "samples/iteration-000002.png",
    }  # fmt: skip
    table = pq.read_table(run_folder(cwd) / "comparison" / "comparison.parquet").to_pylist()
    for row in table:
        if row["iteration"] is not None:
            history = client.get_metric_history(run.info.run_id, f"accuracy/generated/{row['classifier']}")
            assert {point.step: point.value for point in history}[row["iteration"]] == row["accuracy"]
    epochs = client.get_metric_history(run.info.run_id, "loss/robust-seed1")
    assert [point.step for point in epochs] == [1, 2]
    assert {used.dataset.name for used in run.inputs.dataset_inputs} == {
        "dataset-8px-clean-train", "dataset-8px-clean-validation",
    }  # fmt: skip


def test_a_generator_that_makes_one_image_is_warned_of(
    train_robust: ModuleType,
    root: Path,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from training.gans.watch import Watch

    monkeypatch.setattr("training.joint.run.Watch", lambda: Watch(from_step=0, same_rms=1.0))
    assert train_robust.main([f"data.root={root}", *SMALL, "classifier_seeds=[0]"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("the generator has collapsed: 100% of its samples are duplicates of others") == 1
    assert "warning: iteration 2:" in said and "try a smaller gan.width or lr" in said


def test_dry_run_says_what_would_be_trained_and_makes_nothing(
    train_robust: ModuleType, root: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_robust.main(["--dry-run", f"data.root={root}", *SMALL]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "on 94 images of 8 px, 1 channels, in 10 classes: 4 iterations of 2 steps of the critic, 4 classifi" in said
    assert list(here.iterdir()) == []


def test_a_run_that_ended_before_its_comparison_resumes_and_gives_the_same(
    train_robust: ModuleType, root: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of three channels."""
    colour = Small(PARTS, size_px=8).write(here / "gtsrb")
    command = [f"data.root={colour}", *SMALL, "resume=auto"]
    assert train_robust.main(command) == 0
    record, table = run_folder(here) / "run.json", run_folder(here) / "comparison" / "comparison.csv"
    record.write_text(record.read_text().replace('"finished": true', '"finished": false'))
    before = table.read_text()
    table.unlink()
    capsys.readouterr()
    assert train_robust.main(command) == 0
    assert "after epoch 2, step 0" in capsys.readouterr().out
    assert table.read_text() == before


@pytest.mark.parametrize(
    ("overrides", "exit_code", "message"),
    [
        (
            ["data.root=nowhere"],
            1,
            r"nowhere: no such dataset; .* make it: .*spark-submit jobs/make_noisy",
        ),
        (["classifier_every=0"], 2, "classifier_every: must be at least 1"),
        (["classifier_every=5"], 2, "iterations: the classifiers take no step in fewer than 5"),
        (["keep_every=3"], 2, "iterations: 4 is not a multiple of keep_every=3"),
        (["keep_every=8"], 2, "iterations: 4 is not a multiple of keep_every=8"),
        (["classifier=lenet"], 2, "classifier: expected one of aol_cnn, baseline_cnn"),
        (["classifier={kind: classic_classifier, weights: x.pt}"], 2, "classifiers start from drawn weights"),
        (["classifier_seeds=[1,1]"], 2, "classifier_seeds: contains duplicates"),
        (["gan=dcgan"], 2, "gan: expected one of wgan_gp"),
        (["gan.conditional=false"], 2, "the classifier learns from images of known classes"),
        (["gan.latent=image_to_image"], 2, "image_to_image is not supported here"),
        (["batch_size=1"], 2, "batch_size: must be at least 2"),
        (["batch_size=95"], 1, "batch_size=95: there are only 94 training images"),
    ],
)
def test_bad_input_is_named_without_a_traceback(
    train_robust: ModuleType, root: Path, here: Path, capsys: pytest.CaptureFixture[str],
    overrides: list[str], exit_code: int, message: str,
) -> None:  # fmt: skip
    assert train_robust.main([f"data.root={root}", *SMALL, *overrides]) == exit_code
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("error: ")
    assert re.search(message, said), said
