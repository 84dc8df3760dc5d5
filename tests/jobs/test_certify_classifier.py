"""The job in this process."""

from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
import torch
from run_here import RunHere
from small_datasets import Small

from training.classifiers.trained import Classifier, Shape
from training.evaluation.certification import run as certification
from training.evaluation.certification.images import Outcome
from training.models.aol_cnn import AolCnn
from training.models.baseline_cnn import BaselineCnn
from training.models.contract import Model

SHORT = (
    "samples=100", "selection_samples=10", "attack_samples=20", "attack.steps=1", "attack_draws=1", "device=cpu",
    "snr_db=[33,50]",
)  # fmt: skip


@pytest.fixture(scope="module")
def cwd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, and classifiers that give every image the class 0, so one of 43 images is right."""
    cwd = tmp_path_factory.mktemp("cwd")
    Small({"train": [[4]], "test": [[50, 40]]}, ("clean", "gaussian-max"), size_px=8).write(cwd / "signs")
    for name, model in (("plain", BaselineCnn()), ("aol", AolCnn(dense=8))):
        _write(model, cwd / f"{name}.pt")
    return cwd


def _write(model: Model, path: Path, **about: object) -> None:
    shape = Shape(8, 43, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
    network = shape.build(model, 0)
    *_, last = network.modules()
    assert last.bias is not None
    with torch.no_grad():
        last.bias[0] += 1000
    Classifier(network, model, shape, about).write(path)


@pytest.fixture
def blocks_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certification, "BLOCK", 4)


@pytest.mark.usefixtures("blocks_of_four")
def test_a_killed_job_goes_on_and_gives_the_same_bytes(
    cwd: Path, certify_classifier: ModuleType, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("model=plain.pt", "data.root=signs", "data.images=10", *SHORT)
    whole = run_here(certify_classifier, cwd, *arguments, "output_root=whole")
    assert whole.returncode == 0, whole.stderr
    assert "plain: whether it was trained with Gaussian noise of sigma_grey=50 is unknown" in whole.stdout
    real, calls = certification.outcomes, list[int]()

    def killed(*given: object) -> list[Outcome]:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(certification, "outcomes", killed)
    monkeypatch.chdir(cwd)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        code = certify_classifier.main([*arguments, "output_root=killed"])
        raise SystemExit(code)
    (folder,) = (cwd / "killed").iterdir()
    assert not (folder / "images.parquet").exists()
    monkeypatch.setattr(certification, "outcomes", real)
    resumed = run_here(certify_classifier, cwd, *arguments, "output_root=killed", "model=plain.pt")
    assert resumed.returncode == 0, resumed.stderr
    assert "8 of 10 images were certified before" in resumed.stdout
    (other,) = (cwd / "whole").iterdir()
    assert other.name == folder.name
    for name in ("images.parquet", "images.csv", "certification.parquet", "certification.csv"):
        assert (other / name).read_bytes() == (folder / name).read_bytes(), name
    assert (folder / "accuracy_over_decibels.png").stat().st_size > 5000


def test_the_tables_agree(cwd: Path, certify_classifier: ModuleType, run_here: RunHere, tmp_path: Path) -> None:
    done = run_here(
        certify_classifier, cwd, "model=plain.pt", "data.root=signs", *SHORT, f"output_root={tmp_path}", "alpha=0.01"
    )
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.iterdir()
    images, cells = (pl.read_parquet(folder / f"{name}.parquet") for name in ("images", "certification"))
    assert len(images) == 90 and (images["prediction"] == 0).all() and images["p_lower"].to_list() == [0.01**0.01] * 90
    value = dict(zip(cells.select("metric", "snr_db").rows(), cells["value"], strict=True))
    right = (images["label"] == 0).sum() / 90
    assert value["accuracy", None] == value["accuracy_network", None] == pytest.approx(right)
    assert value["accuracy_certified", 50.0] == value["accuracy_empirical", 33.0] == pytest.approx(right)
    assert value["abstention", None] == 0
    assert value["ball_l2", 33.0] == pytest.approx(images["norm_l2"].mean() / 10 ** (33 / 20))


def test_a_lipschitz_network_is_certified_without_sampling(
    cwd: Path, certify_classifier: ModuleType, run_here: RunHere, tmp_path: Path
) -> None:
    arguments = ("model=aol.pt", "data.root=signs", "data.images=5", *SHORT, f"output_root={tmp_path}")
    done = run_here(certify_classifier, cwd, *arguments)
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.iterdir()
    assert set(pl.read_parquet(folder / "certification.parquet")["method"]) == {"lipschitz"}
    assert pl.read_parquet(folder / "images.parquet")["p_lower"].null_count() == 5
    sampled = run_here(certify_classifier, cwd, *arguments, "method=smoothing", "--dry-run")
    assert sampled.returncode == 0 and "certified by smoothing" in sampled.stdout


def test_what_cannot_be_certified_is_refused(
    cwd: Path, certify_classifier: ModuleType, run_here: RunHere, tmp_path: Path
) -> None:
    arguments = ("model=plain.pt", "data.root=signs", *SHORT, f"output_root={tmp_path}")
    for extra, said in (
        ("method=lipschitz", "no Lipschitz constant of plain is known"),
        ("samples=5", "at least 10 are needed"),
        ("data.size_px=16", "for images of 8 px"),
    ):
        done = run_here(certify_classifier, cwd, *arguments, extra)
        assert done.returncode != 0 and said in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data": {"mixture": {"clean": 1.0}}}, "was trained without Gaussian noise"),
        ({"augmentation": {"noise": {"std_grey": 60.0}}}, ""),
        ({"augmentation": {"noise": {"std_grey": 60.0, "kinds": ["waves"]}}}, "was trained without Gaussian noise"),
        ({"objective": {"noise": {"std_grey": 20.0}}}, "of at most 20 grey levels"),
        ({"data": {"mixture": {"gaussian-other": 1.0}}}, "whose strength is unknown"),
    ],
)
def test_noise_that_the_network_was_not_trained_with_is_said(
    cwd: Path, certify_classifier: ModuleType, run_here: RunHere, tmp_path: Path, settings: dict[str, object], said: str
) -> None:
    _write(BaselineCnn(), tmp_path / "own.pt", settings=settings)
    done = run_here(certify_classifier, cwd, f"model={tmp_path / 'own.pt'}", "data.root=signs", *SHORT, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert (said in done.stdout) if said else ("Gaussian" not in done.stdout)
