"""The measurement of stability on the command line."""

from pathlib import Path
from types import ModuleType

import foreign_models
import numpy as np
import polars as pl
import pytest
import torch
from mlflow import MlflowClient
from run_here import RunHere
from small_attacks import classifier, rows, write_signs

from training.tracking import Tracking, tracked_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
"""Those of the exporters."""
MODULE = """
from pathlib import Path
import torch

def fitted():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 43))
    network.load_state_dict(torch.load(Path(__file__).with_name("fitted.pth")))
    return network
"""
ARGUMENTS = ("data.root=signs", "device=cpu", "deepfool.classes=43")


@pytest.fixture(scope="module")
def cwd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, one of whose images is black, and a linear network by least squares that is right on the others."""
    cwd = tmp_path_factory.mktemp("cwd")
    write_signs(cwd / "signs")
    classifier().write(cwd / "untrained.pt")
    (cwd / "linear_by_hand.py").write_text(MODULE)
    pixels, labels = images(cwd)
    targets = torch.nn.functional.one_hot(labels, 43).double()
    weight = torch.linalg.lstsq(pixels, targets).solution.T.float()
    torch.save({"1.weight": weight, "1.bias": torch.zeros(43)}, cwd / "fitted.pth")
    return cwd


def images(cwd: Path) -> tuple[torch.Tensor, torch.Tensor]:
    found = sorted(rows(cwd / "signs" / "geometry=crop_or_pad" / "size_px=8" / "variant=clean", "uint8"), key=_id)
    test = [row for row in found if row["image_id"].startswith("test") and row["image"].any()]
    pixels = torch.from_numpy(np.stack([row["image"] for row in test])).permute(0, 3, 1, 2).flatten(1).double() / 255
    return pixels, torch.tensor([row["label"] for row in test])


def _id(row: dict[str, str]) -> str:
    return row["image_id"]


def test_a_linear_network_has_the_distances_of_its_hyperplanes(
    cwd: Path, measure_stability: ModuleType, run_here: RunHere
) -> None:
    """Where no pixel reaches 0 or 1, DeepFool with its overshoot of 2 % is 1.02 times as far."""
    done = run_here(measure_stability, cwd, "model=linear_by_hand:fitted", *ARGUMENTS)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "1 of 16 images are predicted wrongly already" in said and "1 of 16 images are black" in said
    assert "rank correlation with the distance: first_order_l2 " in said
    (folder,) = (cwd / "data" / "stability").iterdir()
    assert done.stdout.splitlines()[-1] == f"tables and figures: {folder.relative_to(cwd)}"
    names = {"perturbations.png", "slopes.png", "by_class.png", "linear_classifier.png", "stability.csv", "images.csv"}
    assert names < {path.name for path in folder.iterdir()}
    pixels, labels = images(cwd)
    weight = torch.load(cwd / "fitted.pth")["1.weight"].double()
    logits = pixels @ weight.T
    expected = []
    for row, label in zip(logits, labels.tolist(), strict=True):
        gaps = [(row[label] - row[k]) / (weight[label] - weight[k]).norm() for k in range(43) if k != label]
        expected.append(float(min(gaps)))
    table = pl.read_parquet(folder / "images.parquet").sort("image_id")
    found = table.filter(pl.col("norm_l2") > 0)["distance_l2"].to_numpy()
    assert (found >= 0.999 * np.array(expected)).all(), "clipping makes the way to the boundary longer, not shorter"
    assert np.median(found / expected) == pytest.approx(1.02, abs=0.05)


def test_the_same_command_writes_the_same_folder_and_a_sample_is_a_part_of_it(
    cwd: Path, measure_stability: ModuleType, run_here: RunHere, tmp_path: Path
) -> None:
    few = ("model=linear_by_hand:fitted", *ARGUMENTS, "data.images=6", f"output_root={tmp_path}", "examples=2")
    assert run_here(measure_stability, cwd, *few).returncode == 0
    (folder,) = tmp_path.iterdir()
    first = pl.read_parquet(folder / "images.parquet")
    assert len(first) == 6
    assert run_here(measure_stability, cwd, *few).returncode == 0
    assert list(tmp_path.iterdir()) == [folder]
    assert pl.read_parquet(folder / "images.parquet").equals(first)


def test_networks_without_gradients_and_wrong_settings_are_refused_in_one_line(
    cwd: Path, measure_stability: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign_models.write_onnx(cwd / "theirs.onnx", foreign_models.ours())
    monkeypatch.chdir(cwd)
    for model, given, code, message in (
        ("theirs.onnx", "seed=0", 1, "theirs.onnx has no gradients with respect to its images"),
        ("untrained.pt", "deepfool.norm=linf", 2, "deepfool.norm: distances are in l2, got linf"),
        ("untrained.pt", "data.images=0", 2, "data.images: must be at least 1"),
        ("untrained.pt", "ball.radius_l2=0", 2, "ball.radius_l2: must be more than 0"),
        ("untrained.pt", "data.variant=gaussian-max", 1, "gaussian-max"),
        ("untrained.pt", "data.size_px=16", 1, "is for images of 8 px, not of 16 px"),
    ):
        assert measure_stability.main([f"model={model}", *ARGUMENTS, given]) == code, given
        said = capsys.readouterr().err
        assert said.startswith("error: ") and message in said, said
        assert code == 2 or said.count("\n") == 1


def test_of_a_network_that_is_always_wrong_the_tables_say_so(
    cwd: Path, measure_stability: ModuleType, run_here: RunHere, tmp_path: Path
) -> None:
    """An untrained network is right on hardly any of sixteen images."""
    trained = classifier()
    last = [layer for layer in trained.network.modules() if isinstance(layer, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.bias[42] += 1000
    trained.write(cwd / "wrong.pt")
    done = run_here(measure_stability, cwd, "model=wrong.pt", *ARGUMENTS, f"output_root={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "16 of 16 images are predicted wrongly already" in " ".join(done.stdout.split())
    (folder,) = tmp_path.iterdir()
    assert pl.read_parquet(folder / "images.parquet")["distance_l2"].null_count() == 16


@pytest.mark.slow
def test_the_latest_run_gets_its_metrics_tables_and_figures(
    cwd: Path, measure_stability: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(cwd)
    tracking = Tracking(experiment="classifiers", system_metrics_every_s=0.0)
    with tracked_run(tracking, tmp_path / "run", "a classifier", {}, "python", [], {}) as run:
        classifier().write(tmp_path / "model.pt")
        run.log_file(tmp_path / "model.pt", "checkpoint")
    assert measure_stability.main(["model=latest", *ARGUMENTS, f"output_root={tmp_path / 'out'}"]) == 0
    client = MlflowClient(uri)
    (folder,) = (tmp_path / "out").iterdir()
    table = pl.read_parquet(folder / "stability.parquet").filter(pl.col("label").is_null())
    expected = {
        f"stability/{row['metric']}/clean": row["value"] for row in table.to_dicts() if row["value"] is not None
    }
    assert client.get_run(run.run_id).data.metrics == pytest.approx(expected)
    names = {Path(file.path).name for file in client.list_artifacts(run.run_id, f"stability/{folder.name}")}
    assert {"stability.parquet", "images.csv", "slopes.png", "stability.yaml"} <= names


def test_dry_run_makes_nothing(
    cwd: Path, measure_stability: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(cwd)
    assert measure_stability.main(["model=untrained.pt", *ARGUMENTS, "--dry-run", "output_root=nothing"]) == 0
    assert "untrained would be measured on cpu; dry run: nothing was made" in capsys.readouterr().out
    assert not (cwd / "nothing").exists()
