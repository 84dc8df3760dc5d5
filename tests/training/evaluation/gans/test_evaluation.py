from pathlib import Path

import polars as pl
import pytest
import torch
import untrained_gans
from rich.console import Console
from small_datasets import Small

from training.evaluation.gans.evaluation import EvaluatedGan, GanData, GanEvaluation, evaluate_gans, write_gan_result
from training.evaluation.gans.measures import Measures

CPU = torch.device("cpu")


@pytest.fixture
def settings(tmp_path: Path) -> GanEvaluation:
    parts = {"train": [[100, 60]], "validation": [[90]], "test": [[150]]}
    root = Small(parts, size_px=untrained_gans.SIZE_PX).write(tmp_path / "signs")
    measures = Measures(kid_subsets=2, inception_splits=2)
    return GanEvaluation(
        runs=("gan",), data=GanData(root=str(root)), samples=12, measures=measures, output_root=tmp_path / "out"
    )


def test_generators_of_some_classes_are_compared_with_images_of_these(settings: GanEvaluation) -> None:
    gans = {
        "all": EvaluatedGan(untrained_gans.gan(), None),
        "two": EvaluatedGan(untrained_gans.gan(classes=(3, 5)), "run 7"),
        "no labels": EvaluatedGan(untrained_gans.gan("vanilla", classes=(3, 5)), None),
    }
    extractors = settings.extractors(untrained_gans.classifier(), "cnn", CPU)
    result = evaluate_gans(settings, gans, extractors, CPU, Console(quiet=True))
    table = pl.from_arrow(result.table)
    assert isinstance(table, pl.DataFrame)
    counts = table.filter(pl.col("metric") == "coverage_task").select("model", "run", "n", "n_real").rows()
    assert counts == [
        ("all", None, 12, 150),
        ("real training images", None, 12, 150),
        ("uniform noise", None, 12, 150),
        ("two", "run 7", 12, 8),
        ("no labels", None, 12, 8),
        ("real training images of 3, 5", None, 8, 8),
        ("uniform noise of 3, 5", None, 8, 8),
    ]
    assert set(result.pictures["two"].images.images.labels.tolist()) == {3, 5}
    folder = write_gan_result(settings, gans, result)
    assert folder.name == f"all+two+no_labels-test-{result.key[:12]}"
    assert (folder / "no_labels" / "samples.png").is_file()


def test_the_folder_is_another_one_for_what_has_an_effect_and_the_same_for_what_has_none(
    settings: GanEvaluation,
) -> None:
    extractors = settings.extractors(untrained_gans.classifier(), "cnn", CPU)
    gans = {"all": EvaluatedGan(untrained_gans.gan(), None)}

    def key(**changes: object) -> str:
        return evaluate_gans(settings.model_copy(update=changes), gans, extractors, CPU, Console(quiet=True)).key

    first = key()
    assert key(output_root=Path("elsewhere"), runs=("latest",), device="cpu") == first
    assert len({first, key(seed=1), key(samples=13), key(batch_size=7)}) == 4
