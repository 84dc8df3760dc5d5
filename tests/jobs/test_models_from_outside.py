"""Models from outside in the jobs: evaluated, attacked on executors, and used for scores there."""

import sys
from pathlib import Path
from types import ModuleType

import foreign_models
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from run_here import RunHere
from small_attacks import SIZE_PX, classifier, rows, write_signs

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
"""Those of the exporters."""
MODULE = """
from pathlib import Path
import torch

def make():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 43))

def fitted():
    network = make()
    network.load_state_dict(torch.load(Path(__file__).with_name("fitted.pth")))
    return network
"""
"""`make` has other weights in each process."""


@pytest.fixture(scope="module")
def cwd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("cwd")
    write_signs(cwd / "signs", ("clean", "gaussian-min", "gaussian-max"))
    classifier().write(cwd / "ours.pt")
    foreign_models.write_onnx(cwd / "theirs.onnx", foreign_models.ours())
    (cwd / "only_here.py").write_text(MODULE)
    torch.save(fitted(cwd / "signs"), cwd / "fitted.pth")
    return cwd


def fitted(root: Path) -> dict[str, torch.Tensor]:
    """Weights by least squares that are right on every clean test image."""
    clean = [row for row in rows(root / "geometry=crop_or_pad/size_px=8/variant=clean", "uint8") if row["image"].any()]
    pixels = torch.from_numpy(np.stack([row["image"] for row in clean])).permute(0, 3, 1, 2).flatten(1).double() / 255
    targets = torch.nn.functional.one_hot(torch.tensor([row["label"] for row in clean]), 43).double()
    return {"1.weight": torch.linalg.lstsq(pixels, targets).solution.T.float(), "1.bias": torch.zeros(43)}


def test_they_are_evaluated_beside_ours_with_maps_and_loads(
    cwd: Path, evaluate_classifiers: ModuleType, run_here: RunHere
) -> None:
    done = run_here(
        evaluate_classifiers, cwd, "models=[ours.pt,theirs.onnx,only_here:fitted]", "data.root=signs", "device=cpu",
        "saliency.images=2", "saliency.steps=4", "unit_load.images=10",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "its output k is taken for class k of small" in said
    assert "no saliency maps of theirs: it has no gradients with respect to its images" in said
    assert "no Grad-CAM of only_here:fitted" in said
    assert "no load of units of only_here:fitted: it has no activation" in said
    (folder,) = (cwd / "data" / "evaluations").iterdir()
    table = pl.read_parquet(folder / "evaluation.parquet").filter(pl.col("metric") == "accuracy")
    values = {name: table.filter(pl.col("model") == name)["value"].to_list() for name in ("ours", "theirs")}
    assert values["ours"] == values["theirs"] and len(values["ours"]) == 3
    figures = folder / "only_here_fitted" / "figures"
    assert {path.name for path in figures.glob("saliency-*.png")} == {
        "saliency-gaussian-min.png", "saliency-gaussian-max.png",
    }  # fmt: skip
    units = pl.read_parquet(folder / "units.parquet")
    assert set(units["model"]) == {"ours"} and set(units["images"]) == {10}
    assert set(units["metric"]) == {"dead", "entropy", "accuracy", "accuracy_heaviest", "accuracy_random"}
    assert units.filter(pl.col("metric") == "accuracy")["value"].n_unique() == 1


def test_without_clean_images_there_are_no_maps_which_is_said(
    cwd: Path, evaluate_classifiers: ModuleType, run_here: RunHere
) -> None:
    done = run_here(
        evaluate_classifiers, cwd, "models=ours.pt", "data.root=signs", "device=cpu", "saliency.images=1",
        "saliency.steps=2", "variants=[gaussian-max]", "output_root=other",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no saliency maps of ours: clean is not among the variants" in done.stdout


def test_an_attack_without_gradients_works_on_onnx_and_others_are_refused(
    cwd: Path, make_adversarial_datasets: ModuleType, run_here: RunHere
) -> None:
    refused = run_here(
        make_adversarial_datasets, cwd, "model=theirs.onnx", "attack=fgsm", "snr_db=[33]", "data.root=signs"
    )
    assert refused.returncode == 1
    assert "theirs.onnx has no gradients with respect to its images, which attack=fgsm needs" in refused.stderr
    assert "square, one_pixel" in refused.stderr and refused.stderr.count("\n") == 1
    done = run_here(
        make_adversarial_datasets, cwd, "model=theirs.onnx", "attack=square", "attack.queries=5", "eps=[0.1]",
        f"data.root={cwd / 'signs'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    check_attack(cwd, "square_queries_5-eps0.1", classifier().network)


def test_a_factory_is_attacked_on_executors_with_the_weights_of_the_driver(
    cwd: Path, make_adversarial_datasets: ModuleType, run_here: RunHere
) -> None:
    """Its module is in the working folder alone, which no Python searches, and it makes other weights each time."""
    done = run_here(
        make_adversarial_datasets, cwd, "model=only_here:make", "attack=fgsm", "eps=[0.1]", f"data.root={cwd / 'signs'}"
    )
    assert done.returncode == 0, done.stderr
    (folder,) = (cwd / "signs").glob("*/*/variant=fgsm-eps0.1/attacked=*")
    adversarial = rows(folder, "float32")
    assert len(adversarial) == 16
    assert max(np.abs(row["image"]).max() for row in adversarial) <= 1
    assert str(cwd) in sys.path


def check_attack(cwd: Path, variant: str, network: torch.nn.Module) -> None:
    (folder,) = (cwd / "signs").glob(f"*/*/variant={variant}/attacked=*")
    adversarial = rows(folder, "float32")
    shown = torch.from_numpy(np.stack([row["image"] for row in adversarial])).permute(0, 3, 1, 2)
    assert [row["prediction_after"] for row in adversarial] == network(shown).argmax(1).tolist()


def test_images_are_scored_by_an_onnx_file_on_executors(cwd: Path, score_images: ModuleType, run_here: RunHere) -> None:
    drawn = np.random.default_rng(1).integers(0, 256, (4, SIZE_PX, SIZE_PX, 3), np.uint8)
    (cwd / "photos").mkdir()
    for number, image in enumerate(drawn):
        Image.fromarray(image).save(cwd / "photos" / f"{number}.png")
    given = ("model=theirs.onnx", "images=photos", "output=scores")
    refused = run_here(score_images, cwd, *given)
    assert refused.returncode == 2
    assert "set geometry=crop_or_pad or geometry=resize" in refused.stderr
    done = run_here(score_images, cwd, *given, "geometry=resize")
    assert done.returncode == 0, done.stderr
    found = {row["image_id"]: row["prediction"] for row in pq.read_table(cwd / "scores").to_pylist()}
    expected = classifier().network(torch.from_numpy(drawn).permute(0, 3, 1, 2) / 255).argmax(1)
    assert found == {f"{number}.png": label for number, label in enumerate(expected.tolist())}
