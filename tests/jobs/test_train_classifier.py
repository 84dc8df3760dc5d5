"""The job in this process; tests/faults runs it as several processes."""

import re
from pathlib import Path
from types import ModuleType

import mlflow
import pytest
import torch
from small_runs import write_dataset

from training.classifiers.trained import Classifier
from training.loop.run_folder import RunFolder

SMALL = ["data.size_px=8", "epochs=2", "batch_size=16", "device=cpu", "cache=none", "tracking.system_metrics_every_s=0"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("datasets") / "gtsrb")


@pytest.fixture(scope="module")
def cwd(train_classifier: ModuleType, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which the job has run once."""
    cwd = tmp_path_factory.mktemp("cwd")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert train_classifier.main([f"data.root={root}", "tracking.register_as=signs", *SMALL]) == 0
    return cwd


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def client(cwd: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{cwd}/mlruns/mlflow.db")


def only_run(cwd: Path) -> mlflow.entities.Run:
    (experiment,) = [found for found in client(cwd).search_experiments() if found.name == "classifiers"]
    (run,) = client(cwd).search_runs([experiment.experiment_id])
    return run


class KilledError(BaseException):
    """What a kill is to the code that it ends."""


def test_a_run_killed_before_it_is_marked_as_finished_has_ended_and_is_taken_up_again(
    train_classifier: ModuleType, root: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    add = RunFolder.add_to_record

    def kill_at_the_mark(folder: RunFolder, **facts: object) -> None:
        if "finished" in facts:
            raise KilledError
        add(folder, **facts)

    arguments = [f"data.root={root}", "tracking.register_as=signs", "resume=auto", *SMALL]
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(RunFolder, "add_to_record", kill_at_the_mark)
        train_classifier.main(arguments)
    assert only_run(here).info.status == "FINISHED"
    (folder,) = map(RunFolder, (here / "data" / "runs").iterdir())
    assert not folder.finished
    assert train_classifier.main(arguments) == 0
    assert only_run(here).info.status == "FINISHED" and folder.finished
    assert len(client(here).search_model_versions("name = 'signs'")) == 1


def test_the_model_is_in_the_runs_folder(cwd: Path, root: Path) -> None:
    (folder,) = (cwd / "data" / "runs").iterdir()
    classifier = Classifier.read(folder / "model.pt", torch.device("cpu"))
    assert (classifier.shape.size_px, classifier.shape.num_classes) == (8, 43)
    assert classifier.about["settings"]["data"]["root"] == str(root)
    assert classifier.about["run_id"] == only_run(cwd).info.run_id


def test_the_run_records_everything_needed_to_repeat_it(cwd: Path, root: Path) -> None:
    run = only_run(cwd)
    assert run.info.status == "FINISHED"
    assert run.data.params["data.mixture.clean"] == "1.0"
    assert run.data.params["epochs"] == "2"
    assert run.data.tags["command"].startswith(f"python jobs/train_classifier.py data.root={root} ")
    assert {"code", "version.torch", "machine.cpu", "device", "ranks"} <= run.data.tags.keys()
    digests = {used.dataset.name: used.dataset.digest for used in run.inputs.dataset_inputs}
    manifest = (root / "geometry=crop_or_pad/size_px=8/variant=clean/_manifest.json").read_text()
    assert all(digest in manifest for digest in digests.values())
    contexts = {tag.value for used in run.inputs.dataset_inputs for tag in used.tags}
    assert contexts == {"train", "validation"}


def test_metrics_come_once_per_epoch(cwd: Path) -> None:
    run_id = only_run(cwd).info.run_id
    for name in ("loss/train", "accuracy/train", "loss/validation", "accuracy/validation", "images_per_s"):
        assert [metric.step for metric in client(cwd).get_metric_history(run_id, name)] == [1, 2], name


def test_the_model_is_registered_and_its_checkpoint_is_the_folders(cwd: Path, tmp_path: Path) -> None:
    (version,) = client(cwd).search_model_versions("name = 'signs'")
    run_id = only_run(cwd).info.run_id
    assert version.run_id == run_id
    found = Path(client(cwd).download_artifacts(run_id, "checkpoint/model.pt", str(tmp_path)))
    (folder,) = (cwd / "data" / "runs").iterdir()
    assert found.read_bytes() == (folder / "model.pt").read_bytes()


def test_dry_run_says_what_would_be_trained_and_makes_nothing(
    train_classifier: ModuleType,
    root: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train_classifier.main(["--dry-run", f"data.root={root}", *SMALL]) == 0
    said = capsys.readouterr().out
    assert "37,451 parameters" in said
    assert "on 94 images of 8 px: 2 epochs of 6 steps" in said
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "exit_code", "message"),
    [
        (
            ["data.root=nowhere"],
            1,
            r"nowhere: no such dataset; .* make it: .*spark-submit jobs/make_noisy",
        ),
        (["data.size_px=40"], 1, r"size_px=40.*: no such dataset .*'sizes_px=\[40\]'"),
        (["data.mixture={gaussian-huge: 1.0}"], 1, r"variant=gaussian-huge: no such dataset \(variants there: clean"),
        (["model=resnet500"], 2, "there are: aol_cnn, baseline_cnn, baseline_cnn_mixture"),
        (["device=cuda"], 2, "device=cuda: 1 needed on this machine, 0 found; use device=cpu"),
        (["resume=nowhere"], 1, "nowhere: not a run folder; resume takes never, auto, or the folder of a run"),
        (["epochs=0"], 2, "epochs: must be at least 1"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="one of the errors is that there is no GPU")
def test_bad_input_is_named_without_a_traceback(
    train_classifier: ModuleType,
    root: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    exit_code: int,
    message: str,
) -> None:
    assert train_classifier.main([f"data.root={root}", *SMALL, *overrides]) == exit_code
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("error: ")
    assert re.search(message, said), said


def test_an_image_too_small_for_the_network_and_an_empty_split_are_named(
    train_classifier: ModuleType, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(here / "tiny", size_px=4)
    assert train_classifier.main([f"data.root={here / 'tiny'}", *SMALL, "data.size_px=4"]) == 2
    assert "data.size_px=4: baseline_cnn needs at least 8" in capsys.readouterr().err
    write_dataset(here / "untested", parts={"train": [[30]], "validation": [[]]})
    assert train_classifier.main([f"data.root={here / 'untested'}", *SMALL]) == 1
    assert "split validation has no images; splits with images: train" in capsys.readouterr().err


def test_a_tracking_server_that_is_not_there_is_named(
    train_classifier: ModuleType,
    root: Path,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert train_classifier.main([f"data.root={root}", *SMALL]) == 1
    assert "error: http://127.0.0.1:9: no tracking server" in capsys.readouterr().err


def test_the_same_command_with_resume_auto_resumes_a_killed_run(
    train_classifier: ModuleType,
    root: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Here the record says that the run has not finished; tests/faults kills a real run."""
    command = [f"data.root={root}", *SMALL, "resume=auto"]
    assert train_classifier.main(command) == 0
    (folder,) = (here / "data" / "runs").iterdir()
    record = folder / "run.json"
    record.write_text(record.read_text().replace('"finished": true', '"finished": false'))
    before = Classifier.read(folder / "model.pt", torch.device("cpu"))
    capsys.readouterr()
    assert train_classifier.main(command) == 0
    assert "after epoch 2, step 0" in capsys.readouterr().out
    after = Classifier.read(folder / "model.pt", torch.device("cpu"))
    assert (after.digest, after.about) == (before.digest, before.about)
    assert only_run(here).info.status == "FINISHED"
