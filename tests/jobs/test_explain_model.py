"""The chain of a small tracked training: whole, with links missing, and with records that contradict each other."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import mlflow
import pytest
import torch
from run_here import RunHere
from small_runs import write_dataset

from pipelines.store.schema import MANIFEST_NAME, Cell
from training.classifiers.trained import Classifier
from training.retraining.decision import Decision, document, sha256
from training.tracking import Registry, Tracking, tracked_run

SMALL = ["data.size_px=8", "epochs=1", "batch_size=16", "device=cpu", "cache=none", "tracking.system_metrics_every_s=0"]
CLEAN = Cell("crop_or_pad", 8, "clean")


@pytest.fixture(scope="module")
def trained(train_classifier: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a dataset and one run, whose model is registered as signs."""
    cwd = tmp_path_factory.mktemp("trained")
    write_dataset(cwd / "data" / "datasets" / "gtsrb", fingerprint={"source_digest": "5e" * 32})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        arguments = ["data.root=data/datasets/gtsrb", "tracking.register_as=signs", *SMALL]
        assert train_classifier.main(arguments) == 0
    return cwd


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that directory with a store of its own; its runs name the files and datasets of the first one."""
    here = Path(shutil.copytree(trained, tmp_path / "here"))
    monkeypatch.chdir(here)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return here


def run_folder(cwd: Path) -> Path:
    (folder,) = (cwd / "data" / "runs").iterdir()
    return folder


def network(cwd: Path) -> Classifier:
    return Classifier.read(run_folder(cwd) / "model.pt", torch.device("cpu"))


def manifest(cwd: Path) -> Path:
    return CLEAN.folder(cwd / "data" / "datasets" / "gtsrb") / MANIFEST_NAME


def decide(cwd: Path, networks: list[str], changed: bytes = b"") -> str:
    """Makes the run the champion of `roadsign` by a decision, as jobs/retrain.py does; returns its SHA-256."""
    registry = Registry("roadsign")
    run_id = str(network(cwd).about["run_id"])
    challenger = registry.challenge(run_id, "batch-1", "inputs", [run_id, "other-seed"])
    facts = {"champion": None, "challenger": {"version": challenger.number, "networks": networks}}
    written = document(Decision(True, "Promoted.", ()), facts)
    folder = cwd / "data" / "retraining"
    folder.mkdir(exist_ok=True)
    (folder / "decision.json").write_bytes(changed or written)
    tracking = Tracking(experiment="retraining", system_metrics_every_s=0.0)
    with tracked_run(tracking, folder, "batch-1", {}, "python jobs/retrain.py", [], {}) as run:
        run.set_tags({"decision_sha256": sha256(written)})
        run.log_file(folder / "decision.json")
    registry.promote(challenger.number, None)
    registry.decide(challenger.number, "Promoted.", clean_accuracy="97.00%", sha256=sha256(written))
    shutil.rmtree(folder)
    return sha256(written)


def lines(stdout: str, place: str) -> list[str]:
    return [line for line in stdout.splitlines() if line.startswith(f"{place} ")]


def test_a_promoted_model_has_a_whole_chain_but_for_its_other_version(
    here: Path, trained: Path, explain_model: ModuleType, run_here: RunHere
) -> None:
    model = network(here)
    decided = decide(here, [model.digest, "f" * 64])
    done = run_here(explain_model, here, "model=models:/roadsign@champion")
    assert done.returncode == 0, done.stderr
    content = json.loads(manifest(here).read_text())["content_digest"]
    assert lines(done.stdout, "source") == [f"source   {'5e' * 32}"]
    train, validation = lines(done.stdout, "variant")
    assert f"clean, train: {content}; " in train
    assert f"clean, validation: {content}; " in validation
    assert train.endswith(f"{CLEAN.folder(trained / 'data' / 'datasets' / 'gtsrb')} has the same digest")
    (run,) = lines(done.stdout, "run")
    assert f"{model.about['run_id']}, baseline_cnn-8px-seed0, FINISHED; code " in run
    command = ["python jobs/train_classifier.py data.root=data/datasets/gtsrb tracking.register_as=signs", *SMALL]
    assert run.endswith(" ".join(command))
    assert lines(done.stdout, "model") == [f"model    {model.digest}, the weights in model.pt"]
    roadsign, signs = lines(done.stdout, "version")
    assert roadsign.endswith("models:/roadsign/1, @champion, batch batch-1, clean accuracy 97.00%")
    assert signs.endswith("models:/signs/1")
    verdict, none = lines(done.stdout, "decision")
    assert f"models:/roadsign/1: promoted against no champion; SHA-256 {decided}, run " in verdict
    assert "MISSING: models:/signs/1: no decision is recorded" in none
    assert "1 of 9 links is missing; the others agree." in done.stdout


def test_a_seed_that_does_not_serve_is_found_by_its_version(
    here: Path, explain_model: ModuleType, run_here: RunHere
) -> None:
    run_id = str(network(here).about["run_id"])
    client = mlflow.MlflowClient(f"sqlite:///{here / 'mlruns' / 'mlflow.db'}")
    other = client.create_run(client.get_run(run_id).info.experiment_id, run_name="other").info.run_id
    client.create_registered_model("pair")
    client.create_model_version("pair", "file:///nowhere", other, tags={"seed_runs": f"{other} {run_id}"})
    done = run_here(explain_model, here, f"model={run_folder(here) / 'model.pt'}")
    assert done.returncode == 0, done.stderr
    assert f"models:/pair/1, one of 2 seeds, of which run {other} serves" in done.stdout


def test_a_checkpoint_alone_says_what_it_can(
    here: Path, tmp_path: Path, explain_model: ModuleType, run_here: RunHere
) -> None:
    """In another folder, which gets a store of its own."""
    model = network(here)
    shutil.copy(run_folder(here) / "model.pt", tmp_path / "model.pt")
    done = run_here(explain_model, tmp_path, "model=model.pt")
    assert done.returncode == 0, done.stderr
    assert "MISSING: the digest of the raw images is recorded with the run alone" in done.stdout
    assert f"clean: {model.about['datasets']['clean']}, by the checkpoint" in done.stdout
    assert f"MISSING: {model.about['run_id']}: the store at MLFLOW_TRACKING_URI does not know it" in done.stdout
    assert "2 of 4 links are missing" in done.stdout


def test_a_checkpoint_without_any_record_has_missing_links_only(
    here: Path, tmp_path: Path, explain_model: ModuleType, run_here: RunHere
) -> None:
    model = replace(network(here), about={})
    model.write(tmp_path / "bare.pt")
    done = run_here(explain_model, tmp_path, "model=bare.pt")
    assert "MISSING: the checkpoint does not say what it was trained on" in done.stdout
    assert "MISSING: the checkpoint does not say which run trained it" in done.stdout
    assert "3 of 4 links are missing" in done.stdout


def test_a_dataset_that_is_gone_is_missing_and_one_that_moved_is_found(
    here: Path, trained: Path, explain_model: ModuleType, run_here: RunHere
) -> None:
    there = trained / "data" / "datasets"
    there.rename(there.with_name("moved"))
    try:
        done = run_here(explain_model, here)
        assert done.returncode == 0, done.stderr
        assert "it is not there any more to compare with" in lines(done.stdout, "variant")[0]
        done = run_here(explain_model, here, f"data_root={there.with_name('moved') / 'gtsrb'}")
        assert all(line.endswith("has the same digest") for line in lines(done.stdout, "variant"))
    finally:
        there.with_name("moved").rename(there)


@pytest.mark.parametrize(("key", "what"), [("content_digest", "content"), ("source_digest", "source")])
def test_a_dataset_that_was_made_again_from_other_images_breaks_the_chain(
    here: Path, explain_model: ModuleType, run_here: RunHere, key: str, what: str
) -> None:
    path = manifest(here)
    old = json.loads(path.read_text())
    old[key if key in old else "fingerprint"] = "9" * 64 if key in old else {**old["fingerprint"], key: "9" * 64}
    path.write_text(json.dumps(old))
    done = run_here(explain_model, here, "data_root=data/datasets/gtsrb")
    assert done.returncode == 1
    assert f"now has the {what} digest {'9' * 64}" in done.stderr
    assert done.stderr.startswith("error: the chain is broken: variant: clean, train: ")
    assert all("BROKEN: clean, " in line for line in lines(done.stdout, "variant"))


def test_a_checkpoint_of_other_data_than_its_run_breaks_the_chain(
    here: Path, tmp_path: Path, explain_model: ModuleType, run_here: RunHere
) -> None:
    model = network(here)
    replace(model, about={**model.about, "datasets": {"clean": "0" * 64}}).write(tmp_path / "other.pt")
    done = run_here(explain_model, here, f"model={tmp_path / 'other.pt'}")
    assert done.returncode == 1
    assert f"but the checkpoint was trained on {'0' * 64}" in done.stderr


@pytest.mark.parametrize(
    ("networks", "changed", "said"),
    [(["e" * 64], b"", "is on other networks than"), ([], b"{}", "has another SHA-256 than")],
)
def test_a_decision_on_another_network_or_a_changed_one_breaks_the_chain(
    here: Path, explain_model: ModuleType, run_here: RunHere, networks: list[str], changed: bytes, said: str
) -> None:
    decide(here, networks, changed)
    done = run_here(explain_model, here, "model=models:/roadsign@champion")
    assert done.returncode == 1
    assert said in done.stderr


def test_a_decision_whose_run_is_gone_is_missing(here: Path, explain_model: ModuleType, run_here: RunHere) -> None:
    run_id = str(network(here).about["run_id"])
    registry = Registry("roadsign")
    registry.decide(registry.challenge(run_id).number, "Promoted.", sha256="a" * 64)
    done = run_here(explain_model, here)
    assert done.returncode == 0, done.stderr
    assert f"MISSING: models:/roadsign/1: SHA-256 {'a' * 64}; no run of experiment retraining has it" in done.stdout


def test_models_from_outside_and_dry_runs(here: Path, explain_model: ModuleType, run_here: RunHere) -> None:
    (here / "net.onnx").touch()
    done = run_here(explain_model, here, "model=net.onnx")
    assert done.returncode == 1
    assert "net.onnx: a model from outside, of which nothing is recorded" in done.stderr
    os.remove(here / "net.onnx")
    done = run_here(explain_model, here, "model=nonsense", "--dry-run")
    assert (done.returncode, done.stdout.splitlines()) == (0, ["model: nonsense", "data_root: null", ""])
