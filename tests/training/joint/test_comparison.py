from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from small_joint import joint_recipe, joint_training, run_steps, write_digits

from training.classifiers.trained import Classifier
from training.gans.trained import TrainedGan
from training.joint.comparison import GENERATED, SCHEMA, Classifiers, as_markdown, compare, labels_of, write_comparison
from training.joint.training import CLASSIC, ROBUST, JointTraining, Pupil
from training.streams.stream import Data, open_stream

CPU = torch.device("cpu")
SEEDS, SAMPLES = (5, 6, 7), 30


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> JointTraining:
    settings = joint_recipe(write_digits(tmp_path_factory.mktemp("digits")), classifier_seeds=SEEDS)
    return run_steps(joint_training(settings), 12)


@pytest.fixture(scope="module")
def classifiers(trained: JointTraining) -> Classifiers:
    return {kind: [trained.classifier(Pupil(kind, seed), {}) for seed in SEEDS] for kind in (CLASSIC, ROBUST)}


@pytest.fixture(scope="module")
def generators(trained: JointTraining) -> dict[int, TrainedGan]:
    begun = joint_training(trained.settings)
    return {2: begun.trained_generator({}), 4: trained.trained_generator({})}


@pytest.fixture(scope="module")
def table(trained: JointTraining, classifiers: Classifiers, generators: dict[int, TrainedGan]) -> pa.Table:
    return compare(classifiers, trained.settings.data, generators, SAMPLES, 11, CPU)


def right(classifier: Classifier, images: torch.Tensor, labels: torch.Tensor) -> float:
    with torch.no_grad():
        return float((classifier.network(images).argmax(1) == labels).double().mean())


def test_there_is_a_row_for_each_kind_on_the_test_images_and_on_each_generators_images(table: pa.Table) -> None:
    assert table.schema.equals(SCHEMA)
    places = [(row["classifier"], row["shown"], row["iteration"]) for row in table.to_pylist()]
    shown = [("clean", None), (GENERATED, 2), (GENERATED, 4)]
    assert places == [(kind, *place) for place in shown for kind in (CLASSIC, ROBUST)]


def test_accuracies_are_those_of_the_networks_on_these_images(
    table: pa.Table, trained: JointTraining, classifiers: Classifiers, generators: dict[int, TrainedGan]
) -> None:
    batches = list(open_stream(Data(root=trained.settings.data.root, size_px=8), "test", seed=1, batch_size=7).epoch(0))
    images = torch.cat([batch.images[batch.valid] for batch in batches]) / 255
    labels = torch.cat([batch.labels[batch.valid] for batch in batches])
    rows = table.to_pylist()
    for row in rows:
        if row["iteration"] is not None:
            labels = torch.arange(SAMPLES) % 10
            made = generators[row["iteration"]].sample(labels, torch.Generator().manual_seed(11))
            images = (made * 255).round() / 255
        accuracies = [right(classifier, images, labels) for classifier in classifiers[row["classifier"]]]
        assert row["accuracy"] == pytest.approx(np.mean(accuracies))
        assert row["sd"] == pytest.approx(np.std(accuracies, ddof=1))
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert (row["seeds"], row["images"]) == (3, len(labels))
    assert {row["unit"] for row in rows} == {"image"}


def test_one_seed_has_an_interval_over_images_and_no_standard_deviation(
    trained: JointTraining, classifiers: Classifiers, generators: dict[int, TrainedGan]
) -> None:
    one = {kind: some[:1] for kind, some in classifiers.items()}
    for row in compare(one, trained.settings.data, generators, SAMPLES, 11, CPU).to_pylist():
        assert (row["seeds"], row["sd"]) == (1, None)
        assert row["low"] <= row["accuracy"] <= row["high"]


@pytest.mark.parametrize(("samples", "fewest"), [(9, 3), (10, 3), (2, 0)])
def test_labels_are_balanced(samples: int, fewest: int) -> None:
    counts = torch.bincount(labels_of((0, 1, 4), samples), minlength=5)
    assert int(counts.sum()) == samples
    assert counts[[0, 1, 4]].min() == fewest and counts.max() - counts[[0, 1, 4]].min() <= 1
    assert not counts[[2, 3]].any()


def test_the_table_is_written_for_programs_and_readers_and_drawn(table: pa.Table, tmp_path: Path) -> None:
    files = write_comparison(table, tmp_path / "comparison", "a title")
    names = ["comparison.parquet", "comparison.csv", "comparison.md", "accuracy_by_iteration.png"]
    assert [path.name for path in files] == names
    lines = (tmp_path / "comparison" / "comparison.md").read_text().splitlines()
    assert lines[0] == "| images | classic | robust |"
    begun = [line.split(" | ")[0] for line in lines[2:-3]]
    assert begun == [
        "| test images, clean (20)", "| generated after iteration 2 (30)", "| generated after iteration 4 (30)",
    ]  # fmt: skip
    assert lines[-3:] == ["", *(f"Intervals count {n} images, each of an object of its own." for n in (20, SAMPLES))]
    first = table.to_pylist()[0]
    assert f"| {100 * first['accuracy']:.2f} ± {100 * first['sd']:.2f} (" in lines[2]
    with Image.open(files[-1]) as image:
        assert image.width > image.height


def test_without_a_standard_deviation_none_is_shown(table: pa.Table) -> None:
    row = {**table.to_pylist()[0], "sd": None, "accuracy": 0.5, "low": 0.25, "high": 0.75}
    assert "| 50.00 (25.00 – 75.00) |" in as_markdown(pa.Table.from_pylist([row], SCHEMA))
