"""The evaluation job for generators on the command line."""

from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
import untrained_gans
from mlflow import MlflowClient
from PIL import Image
from small_datasets import Small

from training.tracking import Tracking, tracked_run

ARGUMENTS = [
    "runs=[conditional.pt,vanilla.pt]", "classifier=classifier.pt", "data.root=signs", "device=cpu", "samples=140",
    "measures.cas.epochs=1", "measures.kid_subsets=2", "output_root=out",
]  # fmt: skip
MODELS = ("conditional", "vanilla", "real training images", "uniform noise")


@pytest.fixture
def cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a dataset, two untrained generators and an untrained classifier."""
    parts = {"train": [[100, 60]], "validation": [[90]], "test": [[150]]}
    Small(parts, size_px=untrained_gans.SIZE_PX).write(tmp_path / "signs")
    untrained_gans.write_models(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_generators_are_measured_beside_real_images_and_noise(
    cwd: Path, evaluate_gans: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate_gans.main(ARGUMENTS) == 0
    said = capsys.readouterr()
    assert said.err == ""
    (folder,) = (cwd / "out").iterdir()
    assert said.out.splitlines()[-1] == f"table and pictures: {folder.relative_to(cwd)}"
    assert all(f"{model}, 8 px" in said.out for model in MODELS)
    table = pl.read_parquet(folder / "gan_evaluation.parquet")
    assert table["model"].unique(maintain_order=True).to_list() == list(MODELS)
    values = {(row["model"], row["metric"]): row["value"] for row in table.to_dicts()}
    for model in MODELS:
        assert values[model, "fid_task"] >= 0
        assert (values[model, "cas"] is None) == (model == "vanilla")
    assert values["real training images", "copied"] == 1
    assert values["uniform noise", "copied"] == 0
    assert pl.read_csv(folder / "gan_evaluation.csv", infer_schema_length=None).height == table.height
    flags = (folder / "flags.txt").read_text().splitlines()
    assert flags == [line.removeprefix("flag: ") for line in said.out.splitlines() if line.startswith("flag: ")]
    assert {flag.split(":")[0] for flag in flags} == {"conditional", "vanilla"}
    for model in MODELS[:2]:
        for picture in ("samples.png", "nearest_training_images.png"):
            with Image.open(folder / model / picture) as image:
                assert min(image.size) > 100
    before = table
    assert evaluate_gans.main(ARGUMENTS) == 0
    assert list((cwd / "out").iterdir()) == [folder]
    assert pl.read_parquet(folder / "gan_evaluation.parquet").equals(before)


@pytest.mark.slow
def test_the_latest_run_gets_its_metrics_tables_and_pictures(
    cwd: Path, evaluate_gans: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{cwd / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    untrained_gans.gan().write(cwd / "model.pt")
    tracking = Tracking(experiment="gans", system_metrics_every_s=0.0)
    with tracked_run(tracking, cwd / "run", "a gan", {}, "python", [], {}) as run:
        run.log_file(cwd / "model.pt", "checkpoint")
    assert evaluate_gans.main([*ARGUMENTS, "runs=latest"]) == 0
    client = MlflowClient(uri)
    metrics = client.get_run(run.run_id).data.metrics
    (folder,) = (cwd / "out").iterdir()
    table = pl.read_parquet(folder / "gan_evaluation.parquet").filter(pl.col("model") == "a gan")
    expected = {f"gan/{row['metric']}": row["value"] for row in table.to_dicts() if row["value"] is not None}
    assert {name: value for name, value in metrics.items() if name.startswith("gan/")} == pytest.approx(expected)
    names = {Path(file.path).name for file in client.list_artifacts(run.run_id, f"evaluation/{folder.name}")}
    assert {"gan_evaluation.parquet", "flags.txt", "samples.png", "nearest_training_images.png"} <= names


def test_a_network_of_imagenet_judges_beside_the_classifier(
    cwd: Path, evaluate_gans: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On images of 32 px, for speed."""
    monkeypatch.setattr("training.evaluation.gans.efficientnet_lite0.SIZE_PX", 32)
    small = ["samples=6", "measures.cas=null", "features=efficientnet_lite0", "runs=conditional.pt"]
    assert evaluate_gans.main([*ARGUMENTS, *small]) == 0
    (folder,) = (cwd / "out").iterdir()
    table = pl.read_parquet(folder / "gan_evaluation.parquet").filter(pl.col("model") == "conditional")
    of_network = {row["metric"]: row for row in table.to_dicts() if row["metric"].endswith("_efficientnet_lite0")}
    names = ("fd", "kid", "inception_score", "precision", "recall", "density", "coverage")
    assert list(of_network) == [f"{name}_efficientnet_lite0" for name in names]
    assert (
        of_network["fd_efficientnet_lite0"]["note"] == "6 images are too few for features of 1280 dimensions; use KID"
    )
    assert of_network["kid_efficientnet_lite0"]["value"] > 0
    assert {row["extractor"] for row in of_network.values()} == {"efficientnet_lite0 579344248a93"}


def test_dry_run_makes_nothing(cwd: Path, evaluate_gans: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate_gans.main(["--dry-run", *ARGUMENTS]) == 0
    assert "conditional, vanilla would be evaluated by classifier on cpu" in capsys.readouterr().out
    assert not (cwd / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["runs=missing.pt"], 1, "missing.pt: no such file; use a checkpoint"),
        (["runs=classifier.pt"], 1, "classifier.pt: kind is classifier, expected generator"),
        (["classifier=vanilla.pt"], 1, "vanilla.pt: kind is generator, expected classifier"),
        (["runs=[]"], 2, "runs: needs at least 1 of them"),
        (["inception=inception.pth"], 1, "inception=inception.pth: no such file; get it from https://github.com/"),
        (["features=vgg16"], 2, "features.0: must be efficientnet_lite0, got 'vgg16'"),
        (["data.root=nowhere"], 1, "nowhere: no such dataset; the datasets in . are: "),
        (["data.conditions=tset"], 2, "data.conditions: must be train, validation or test, got 'tset'"),
        (["measures.cas.model=resnet"], 2, "measures.cas.model: expected one of aol_cnn, baseline_cnn"),
        (["samples=1"], 2, "samples: must be at least 2"),
        (["sampels=1"], 2, "sampels: unknown key; there are: runs, classifier,"),
    ],
)
def test_bad_input_is_named(
    cwd: Path,
    evaluate_gans: ModuleType,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    exit_code: int,
    message: str,
) -> None:
    assert evaluate_gans.main([*ARGUMENTS, *arguments]) == exit_code
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
