"""The evaluation job on the command line."""

import json
import os
import subprocess
import sys
from math import inf
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
import torch
from attacked_predictions import NETWORK, write_attacked
from run_here import RunHere
from small_datasets import Small

from training.classifiers.trained import Classifier, Shape
from training.models.baseline_cnn import BaselineCnn

VARIANTS = ("clean", "gaussian-max")
SMALL = Small({"test": [[50, 40]], "validation": [[8]]}, VARIANTS, size_px=8)
LARGER = Small({"test": [[50, 40]]}, VARIANTS, size_px=16)


def run(repository: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(repository / "jobs" / "evaluate_classifiers.py"), *arguments]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def cwd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset at two sizes and an untrained classifier for each."""
    cwd = tmp_path_factory.mktemp("cwd")
    for small, name in ((SMALL, "small"), (LARGER, "larger")):
        small.write(cwd / "signs")
        shape = Shape(small.size_px, 43, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
        Classifier(shape.build(BaselineCnn(), 0), BaselineCnn(), shape).write(cwd / f"{name}.pt")
    return cwd


def test_models_of_two_sizes_are_evaluated_on_all_variants(
    repository: Path, cwd: Path, evaluate_classifiers: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(repository, cwd, "models=[small.pt,larger.pt]", "data.root=signs", "device=cpu")
    assert done.returncode == 0, done.stderr
    assert all(variant in done.stdout for variant in VARIANTS)
    (folder,) = (cwd / "data" / "evaluations").iterdir()
    assert done.stdout.splitlines()[-1] == f"tables, figures and reports: {folder.relative_to(cwd).as_posix()}"
    table = pl.read_parquet(folder / "evaluation.parquet")
    accuracy = table.filter(pl.col("metric") == "accuracy")
    assert set(accuracy.select("model", "size_px", "noise", "level", "split").rows()) == {
        (model, size_px, noise, level, "test")
        for model, size_px in (("small", 8), ("larger", 16))
        for noise, level in (("none", "none"), ("gaussian", "max"))
    }
    for variant in VARIANTS:
        assert (folder / "small" / "figures" / f"confusion-{variant}.png").is_file()
        report = json.loads((folder / "small" / "reports" / f"report-{variant}.json").read_text())
        noise, _, level = variant.partition("-") if variant != "clean" else ("none", "", "none")
        chosen = accuracy.filter((pl.col("model") == "small") & (pl.col("noise") == noise) & (pl.col("level") == level))
        assert chosen["value"].to_list() == [pytest.approx(report["accuracy"])]
        matrix = pl.read_csv(folder / "small" / "reports" / f"confusion-{variant}.csv")
        assert matrix.drop("label").sum().sum_horizontal().item() == 90
    assert (folder / "larger" / "figures" / "reliability.png").is_file()
    assert not list(folder.rglob(".*"))
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    monkeypatch.chdir(cwd)
    assert evaluate_classifiers.main(["models=[small.pt,larger.pt]", "data.root=signs", "device=cpu"]) == 0
    assert list((cwd / "data" / "evaluations").iterdir()) == [folder]
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before


def test_adversarial_variants_have_curves_and_flags(
    cwd: Path, tmp_path: Path, evaluate_classifiers: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """The classifier always predicts 0, so it is right on images 0, 43 and 86."""
    root = SMALL.write(tmp_path / "attacked")
    trained = Classifier.read(cwd / "small.pt", torch.device("cpu"))
    digest = _always(trained, 0, tmp_path / "small.pt")
    for variant, strength in (("fgsm-snr50", {"snr_db": 50.0}), ("fgsm-eps0.1", {"eps": 0.1}), ("deepfool", None)):
        for network in (digest, NETWORK):
            write_attacked(SMALL, root, variant, network, strength, inf if strength else None)
    arguments = [
        f"models={tmp_path / 'small.pt'}",
        f"data.root={root}",
        "device=cpu",
        f"output_root={tmp_path / 'out'}",
    ]
    assert evaluate_classifiers.main([*arguments, "variants=[clean,fgsm-snr50,fgsm-eps0.1,deepfool]"]) == 0
    said = capsys.readouterr().out
    (folder,) = (tmp_path / "out").iterdir()
    flags = (folder / "flags.txt").read_text().splitlines()
    assert all(f"unreliable: {flag}" in said for flag in flags)
    table = pl.read_parquet(folder / "evaluation.parquet")
    assert sorted(flags) == [
        f"small: 3 of 90 images of fgsm-{level} are right and were not changed by the attack; their gradient may be "
        "zero everywhere"
        for level in ("eps0.1", "snr50")
    ]
    noises = {"fgsm", f"fgsm_transfer_{NETWORK[:12]}"}
    cumulative = table.filter(pl.col("metric") == "accuracy_cumulative")
    assert set(cumulative.select("noise", "level").rows()) == {
        (noise, level) for noise in noises for level in ("snr50", "eps0.1")
    }
    success = table.filter((pl.col("metric") == "success") & (pl.col("level") == "none"))
    assert set(success["noise"]) == {"deepfool", f"deepfool_transfer_{NETWORK[:12]}"}
    assert (folder / "accuracy_over_snr.png").is_file()
    assert (folder / "accuracy_over_eps.png").is_file()


def _always(classifier: Classifier, label: int, path: Path) -> str:
    """Writes a classifier that predicts this label for every image; returns its digest."""
    *_, last = classifier.network.modules()
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.bias[label] += 1000
    classifier.write(path)
    return classifier.digest


def test_dry_run_makes_nothing(
    cwd: Path, evaluate_classifiers: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(cwd)
    assert evaluate_classifiers.main(["--dry-run", "models=small.pt", "data.root=signs", "output_root=dry"]) == 0
    said = capsys.readouterr()
    assert "small would be evaluated on" in said.out
    assert said.err == ""
    assert not (cwd / "dry").exists()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["models=missing.pt"], 1, "missing.pt: no such file; use a checkpoint"),
        (["models=damaged.pt"], 1, "damaged.pt: corrupt, or not a roadsign-robustness checkpoint"),
        (["models=[]"], 2, "models: needs at least 1 of them"),
        (["data.root=nowhere"], 1, "nowhere: no such dataset; the datasets in . are: "),
        (["variants=[clean,gaussian-huge]"], 1, "gaussian-huge not in signs, crop_or_pad, 8 px; there are: clean, gau"),
        (["data.size_px=16"], 1, "small is for images of 8 px, not of 16 px"),
        (["split=train"], 1, "split train has no images; splits with images: test, validation"),
        (["split=tset"], 2, "split: must be train, validation or test, got 'tset'"),
        (["output_root=small.pt"], 1, "cannot be written"),
        (["epsilon=1"], 2, "epsilon: unknown key; there are: models, data,"),
    ],
)
def test_bad_input_is_named(
    cwd: Path,
    evaluate_classifiers: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    exit_code: int,
    message: str,
) -> None:
    (cwd / "damaged.pt").write_bytes(b"nothing")
    monkeypatch.chdir(cwd)
    assert evaluate_classifiers.main(["models=small.pt", "data.root=signs", *arguments]) == exit_code
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said


def test_an_error_is_one_line_without_a_traceback(
    run_here: RunHere, evaluate_classifiers: ModuleType, cwd: Path
) -> None:
    done = run_here(evaluate_classifiers, cwd, "models=missing.pt", "data.root=signs")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: missing.pt: no such file; use a checkpoint (<run folder>/model.pt), a run id, latest or "
        "models:/name@alias\n"
    )
