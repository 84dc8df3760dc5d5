"""Generated datasets through Spark and back."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import untrained_gans
from pyspark.sql import SparkSession
from rich.console import Console
from small_attacks import rows
from small_datasets import Small

from pipelines.errors import StreamError
from pipelines.settings import load
from pipelines.store.schema import Cell, Manifest
from training.classifiers.trained import Classifier
from training.evaluation.classifiers.variants import variants_of
from training.executors.generated_datasets import GeneratedDatasets, open_judge, prepare_generated
from training.gans.trained import TrainedGan
from training.streams.stream import Data, open_stream
from training.tracking import find_models

Make = Callable[..., Path]
SIGNS = Small({"train": [[30, 20], [25]], "validation": [[9]], "test": [[8]]}, size_px=untrained_gans.SIZE_PX)


@pytest.fixture(scope="module")
def make(spark: SparkSession, make_generated_datasets: ModuleType, repository: Path) -> Make:
    """Runs the job's body on a new dataset; returns the folder of the size."""

    def run_body(folder: Path, gan: TrainedGan, *overrides: str) -> Path:
        root = SIGNS.write(folder / "signs")
        gan.write(folder / "gan.pt")
        arguments = [f"model={folder / 'gan.pt'}", f"data.root={root}", "batch_size=16", *overrides]
        settings = load(GeneratedDatasets, repository / "conf" / "make_generated_datasets.yaml", arguments)
        (found,) = find_models([settings.model])
        console = Console(file=sys.stdout, width=500)
        judge = open_judge(settings, gan, console)
        plan = prepare_generated(settings, found, TrainedGan.read(found.path, torch.device("cpu")), judge)
        make_generated_datasets.make(spark, settings, plan, console)
        return Cell("crop_or_pad", SIGNS.size_px, "clean").folder(root).parent

    return run_body


@pytest.fixture(scope="module")
def made(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("made"), untrained_gans.gan())


def test_each_training_image_has_one_under_its_id_and_label_and_no_other_split_has(made: Path) -> None:
    generated, clean = rows(made / "variant=gan-conditional", "uint8"), rows(made / "variant=clean", "uint8")
    train = [row for row in clean if row["image_id"].startswith("train/")]
    for name in ("image_id", "label"):
        assert [row[name] for row in generated] == [row[name] for row in train]
    assert len({row["image"].tobytes() for row in generated}) == 75
    assert all(np.isnan(row["snr_db"]) for row in generated)


def test_the_manifest_says_which_generator_made_it(made: Path) -> None:
    manifest, clean = (Manifest.read(made / f"variant={name}") for name in ("gan-conditional", "clean"))
    assert manifest is not None and clean is not None
    assert manifest.fingerprint["generated"] == untrained_gans.gan().digest
    assert manifest.fingerprint["source_variant_digest"] == clean.content_digest
    assert manifest.counts == {"train": 75}
    statistics = manifest.statistics["train"]
    images = np.stack([row["image"] for row in rows(made / "variant=gan-conditional", "uint8")]) / 255
    assert statistics.channel_mean == pytest.approx(images.mean(axis=(0, 1, 2)))
    assert (statistics.snr_db, statistics.snr_db_mean, statistics.snr_db_infinite) == (None, None, 0)


@pytest.mark.parametrize("partitions", [1, 3])
def test_every_byte_is_the_same_on_any_partitioning(make: Make, made: Path, tmp_path: Path, partitions: int) -> None:
    again = make(tmp_path, untrained_gans.gan(), f"partitions={partitions}")
    files, files_again = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.parquet")} for folder in (made, again)
    )
    assert files == files_again
    manifests = [Manifest.read(folder / "variant=gan-conditional") for folder in (made, again)]
    first, second = (manifest and manifest.model_copy(update={"made_by": {}}) for manifest in manifests)
    assert first is not None and first == second


CONFIDENCE = 0.023
"""Which `some_classifier` gives some of the images of class 0 of `varied_gan`, and none of class 1."""


def some_classifier() -> Classifier:
    classifier = untrained_gans.classifier()
    with torch.no_grad():
        for parameter in list(classifier.network.parameters())[-2:]:
            parameter.mul_(3)
    return classifier


def varied_gan() -> TrainedGan:
    gan = untrained_gans.gan()
    with torch.no_grad():
        for parameter in gan.generator.parameters():
            parameter.mul_(2)
    return gan


@pytest.fixture(scope="module")
def chosen(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chosen")
    some_classifier().write(folder / "classifier.pt")
    choose = f"choose={{classifier: {folder / 'classifier.pt'}, confidence: {CONFIDENCE}, tries: 3}}"
    return make(folder, varied_gan(), choose, "partitions=2")


def test_the_manifest_counts_what_a_classifier_chose(chosen: Path) -> None:
    classifier = some_classifier()
    stored = rows(chosen / "variant=gan-conditional", "uint8")
    images = torch.from_numpy(np.stack([row["image"] for row in stored])).permute(0, 3, 1, 2) / 255
    labels = torch.tensor([row["label"] for row in stored])
    with torch.no_grad():
        sure = classifier.network(images).softmax(1)[torch.arange(75), labels]
    manifest = Manifest.read(chosen / "variant=gan-conditional")
    assert manifest is not None and manifest.chosen is not None
    counted = manifest.chosen["train"]
    assert counted.confident == int((sure >= CONFIDENCE).sum())
    assert 0 < counted.confident < 75 < counted.drawn <= 3 * 75
    expected = {"classifier": classifier.digest, "confidence": CONFIDENCE, "tries": 3}
    assert manifest.fingerprint["chosen"] == expected
    assert manifest.source["classifier"]["digest"] == classifier.digest


def test_a_choice_says_how_often_it_was_confident(
    chosen: Path, make_generated_datasets: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    root, folder = chosen.parents[1], chosen.parents[2]
    choose = f"choose={{classifier: {folder / 'classifier.pt'}, confidence: {CONFIDENCE}, tries: 3}}"
    arguments = [f"model={folder / 'gan.pt'}", f"data.root={root}", "batch_size=16", choose]
    assert make_generated_datasets.main(arguments) == 0
    out = " ".join(capsys.readouterr().out.split())
    manifest = Manifest.read(chosen / "variant=gan-conditional")
    assert manifest is not None and manifest.chosen is not None
    counted = manifest.chosen["train"]
    assert "was there already, unchanged" in out
    assert f"the classifier is confident of {counted.confident} of 75 images" in out
    assert f"the other {75 - counted.confident} are the best of their draws" in out


def test_a_classifier_of_another_size_is_refused(
    make_generated_datasets: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SIGNS.write(tmp_path / "signs")
    untrained_gans.gan().write(tmp_path / "gan.pt")
    untrained_gans.classifier(size_px=10).write(tmp_path / "classifier.pt")
    arguments = [f"model={tmp_path / 'gan.pt'}", f"data.root={tmp_path / 'signs'}"]
    assert make_generated_datasets.main([*arguments, f"choose.classifier={tmp_path / 'classifier.pt'}"]) == 2
    error = capsys.readouterr().err
    assert "is for images of 10 px, but the generator makes images of 8 px" in error
    assert "data.size_px=8" in error


def test_generated_images_are_mixed_with_clean_ones_while_validation_stays_real(made: Path) -> None:
    mixture = {"clean": 0.5, "gan-conditional": 0.5}
    data = Data(
        root=str(made.parents[1]), size_px=8, mixture=mixture, validation_mixture={"clean": 1.0}, verify=True
    )  # fmt: skip
    stored = {name: {row["image_id"]: row for row in rows(made / f"variant={name}", "uint8")} for name in mixture}
    seen = dict.fromkeys(mixture, 0)
    for batch in open_stream(data, "train", seed=0, batch_size=75, cache="host").epoch(0):
        for image_id, image, label in zip(batch.image_ids, batch.images, batch.labels.tolist(), strict=True):
            (name,) = (
                name for name in mixture if np.array_equal(stored[name][image_id]["image"], image.permute(1, 2, 0))
            )
            assert label == stored[name][image_id]["label"]
            seen[name] += 1
    assert sorted(seen.values()) == [37, 38]
    assert len(open_stream(data.of_split("validation"), "validation", seed=0, batch_size=9)) == 1
    with pytest.raises(StreamError, match="split validation has no images"):
        open_stream(data, "validation", seed=0, batch_size=9)


def test_an_evaluation_of_all_variants_skips_generated_variants_without_images(made: Path) -> None:
    data = Data(root=str(made.parents[1]), size_px=8)
    assert variants_of(data, "test") == ["clean"]
    assert variants_of(data, "train") == ["clean", "gan-conditional"]


@pytest.mark.parametrize(
    ("gan", "message"),
    [
        (untrained_gans.gan("vanilla"), "vanilla is not conditional, so its images have no labels"),
        (untrained_gans.gan(classes=tuple(range(42))), "was not trained on classes [42], which are in signs"),
    ],
)
def test_a_generator_that_does_not_fit_is_refused(
    gan: TrainedGan,
    message: str,
    make_generated_datasets: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    SIGNS.write(tmp_path / "signs")
    gan.write(tmp_path / "gan.pt")
    monkeypatch.chdir(tmp_path)
    assert make_generated_datasets.main(["model=gan.pt", "data.root=signs"]) == 2
    assert capsys.readouterr().err == f"error: model=gan.pt: {message}\n"


def test_dry_run_makes_nothing(
    make_generated_datasets: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    SIGNS.write(tmp_path / "signs")
    untrained_gans.gan().write(tmp_path / "gan.pt")
    monkeypatch.chdir(tmp_path)
    assert make_generated_datasets.main(["--dry-run", "model=gan.pt", "data.root=signs", "name=mine"]) == 0
    assert "size_px=8/variant=gan-mine" in capsys.readouterr().out.replace("\n", "")
    assert not list((tmp_path / "signs").rglob("variant=gan*"))
