"""The job in this process; tests/faults runs it as several processes."""

import re
from pathlib import Path
from types import ModuleType

import mlflow
import pytest
import torch
from PIL import Image
from small_runs import write_dataset

from training.classifiers.trained import Classifier, Shape
from training.gans.trained import TrainedGan
from training.models.baseline_cnn import BaselineCnn

SMALL = ["data.size_px=8", "epochs=2", "batch_size=16", "device=cpu", "tracking.system_metrics_every_s=0"]
DCGAN = ["gan=dcgan", "gan.channels=4", "gan.conditional=true"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("datasets") / "gtsrb")


@pytest.fixture(scope="module")
def cwd(train_gan: ModuleType, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which the job has run once."""
    cwd = tmp_path_factory.mktemp("cwd")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        command = [
            f"data.root={root}",
            *DCGAN,
            *SMALL,
            "sample_every_steps=4",
            "watch.same_rms=1.0",
            "watch.from_step=0",
            "keep_epochs=[1]",
        ]
        assert train_gan.main(command) == 0
    return cwd


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def client(cwd: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{cwd}/mlruns/mlflow.db")


def only_run(cwd: Path) -> mlflow.entities.Run:
    (experiment,) = [found for found in client(cwd).search_experiments() if found.name == "gans"]
    (run,) = client(cwd).search_runs([experiment.experiment_id])
    return run


def test_the_generator_is_in_the_runs_folder_and_generates_images(cwd: Path, root: Path) -> None:
    (folder,) = (cwd / "data" / "runs").iterdir()
    trained = TrainedGan.read(folder / "model.pt", torch.device("cpu"))
    assert (trained.shape.size_px, trained.shape.num_classes, trained.shape.classes) == (8, 43, tuple(range(43)))
    assert trained.about["settings"]["data"]["root"] == str(root)
    assert trained.about["run_id"] == only_run(cwd).info.run_id
    assert trained.sample(torch.tensor([5, 7]), torch.Generator()).shape == (2, 3, 8, 8)


def test_a_generator_is_saved_after_each_requested_epoch(cwd: Path) -> None:
    (folder,) = (cwd / "data" / "runs").iterdir()
    early, last = (TrainedGan.read(folder / name, torch.device("cpu")) for name in ("epoch-0001.pt", "model.pt"))
    assert early.digest != last.digest
    assert early.about["metrics"] != last.about["metrics"]


def test_the_run_has_pictures_losses_and_what_is_needed_to_repeat_it(cwd: Path, tmp_path: Path) -> None:
    run = only_run(cwd)
    run_id = run.info.run_id
    assert run.info.status == "FINISHED"
    assert run.data.params["gan.kind"] == "dcgan"
    assert run.data.params["gan.latent.kind"] == "gaussian"
    assert {"code", "version.torch", "device", "ranks", "command"} <= run.data.tags.keys()
    assert [used.dataset.name for used in run.inputs.dataset_inputs] == ["dataset-8px-clean-train"]
    names = {file.path for folder in ("samples", "figures") for file in client(cwd).list_artifacts(run_id, folder)}
    grids = {f"samples/step-{step:08d}.png" for step in (4, 6, 8, 12)}
    assert names == {*grids, "samples/samples.gif", "figures/losses.png"}
    animation = client(cwd).download_artifacts(run_id, "samples/samples.gif", str(tmp_path))
    with Image.open(animation) as image:
        assert image.size[0] > 8 * 34 + 2  # the names of the rows
        assert image.size[1] > 43 * 34 + 2  # a row for each class, and a caption
    for name in ("loss/discriminator", "loss/generator", "gradient_norm/generator", "images_per_s"):
        assert [metric.step for metric in client(cwd).get_metric_history(run_id, name)] == [1, 2], name


def test_a_collapse_is_a_tag_and_a_metric(cwd: Path) -> None:
    """Here any two images count as duplicates."""
    run = only_run(cwd)
    assert run.data.tags["warning"] == "the generator has collapsed: 100% of its samples are duplicates of others"
    assert run.data.metrics["samples/duplicates"] == 1


def test_dry_run_says_what_would_be_trained_and_makes_nothing(
    train_gan: ModuleType, root: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_gan.main(["--dry-run", f"data.root={root}", "gan=wgan_gp", *SMALL]) == 0
    said = capsys.readouterr().out
    assert "wgan_gp" in said
    assert "on 94 images of 8 px in 43 classes: 2 epochs of 6 steps" in " ".join(said.split())
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "exit_code", "message"),
    [
        (
            ["data.root=nowhere"],
            1,
            r"nowhere: no such dataset; .* make it: .*spark-submit jobs/make_noisy",
        ),
        (["gan=biggan"], 2, "there are: adversarial, conditional, dcgan, r3gan_small, vanilla, wgan_gp"),
        (["gan.latent=laplace"], 2, "expected one of gaussian, uniform, noise_image, image_to_image"),
        (["classes=[2,50]"], 1, r"classes \[50\]: split train has no images of them"),
        (["classes=[2,2]"], 2, "classes: contains duplicates"),
        (["batch_size=1"], 2, "batch_size=1: the generator of conditional has batch norm"),
        (["gan=adversarial", "gan.classifier=nowhere.pt"], 1, "nowhere.pt: no such file"),
        (["gan=adversarial", "gan.eps=0.1"], 2, "one of the two"),
        (["gan=adversarial", "gan.latent=uniform"], 2, "it must be image_to_image"),
        (["gan.transition={start: 1, end: 3}"], 2, "gan.transition.end=3 epochs: the training ends before it"),
        (["gan.transition={start: 2, end: 1}"], 2, "end must be greater than start"),
        (["gan=dcgan", "gan.projection=true"], 2, "projection: is of conditional GANs; set gan.conditional=true"),
        (["gan=vanilla", "gan.r1=-1"], 2, "gan.*r1: must be at least 0"),
        (["resume=nowhere"], 1, "nowhere: not a run folder; resume takes never, auto, or the folder of a run"),
    ],
)
def test_bad_input_is_named_without_a_traceback(
    train_gan: ModuleType,
    root: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    exit_code: int,
    message: str,
) -> None:
    assert train_gan.main([f"data.root={root}", *SMALL, *overrides]) == exit_code
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("error: ")
    assert re.search(message, said), said


def test_a_classifier_that_is_not_for_these_images_or_targets_is_named(
    train_gan: ModuleType, root: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for size_px, classes in ((8, 43), (8, 5), (16, 43)):
        shape, model = Shape(size_px, classes, (0.5,) * 3, (0.2,) * 3), BaselineCnn()
        Classifier(shape.build(model, 0), model, shape).write(here / f"{size_px}-{classes}.pt")
    adversarial = [f"data.root={root}", *SMALL, "gan=adversarial", "--dry-run"]
    for name, override, message in (
        ("16-43", "seed=0", "is for images of 16 px; set data.size_px=16"),
        ("8-5", "seed=0", "has 5 classes, but there are images of class 42"),
        ("8-43", "gan.target=43", "gan.target=43: the classifier has classes 0 to 42"),
    ):
        assert train_gan.main([*adversarial, f"gan.classifier={here / name}.pt", override]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    assert train_gan.main([*adversarial, f"gan.classifier={here / '8-43.pt'}"]) == 0


def test_the_same_command_with_resume_auto_resumes_a_killed_training(
    train_gan: ModuleType, root: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [f"data.root={root}", *DCGAN, *SMALL, "resume=auto"]
    assert train_gan.main(command) == 0
    (folder,) = (here / "data" / "runs").iterdir()
    record = folder / "run.json"
    record.write_text(record.read_text().replace('"finished": true', '"finished": false'))
    before = TrainedGan.read(folder / "model.pt", torch.device("cpu"))
    capsys.readouterr()
    assert train_gan.main(command) == 0
    assert "after epoch 2, step 0" in capsys.readouterr().out
    after = TrainedGan.read(folder / "model.pt", torch.device("cpu"))
    assert (after.digest, after.about) == (before.digest, before.about)
