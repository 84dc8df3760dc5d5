"""Scores of images in the bucket of an S3 server, written to it."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pyspark.sql import SparkSession
from small_attacks import classifier, write_signs
from upath import UPath

from pipelines.errors import SettingsError, SourceError, StoreError
from pipelines.places import Place, below
from pipelines.spark.images_to_score import list_folder
from pipelines.spark.scores import SUMMARY_NAME, Summary, refuse_strangers
from pipelines.spark.scoring import ScoreImages, list_images
from training.classifiers.trained import Classifier
from training.tracking import FoundModel

Score = Callable[..., Summary]


@pytest.fixture
def score(root: UPath, spark: SparkSession, score_images: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Score:
    """Runs the job's body; its tasks know the server of `root`."""
    for name in (name for name in os.environ if name.startswith("AWS_")):
        monkeypatch.setitem(spark.sparkContext.environment, name, os.environ[name])

    def run_body(images: Place, output: Place, model: Classifier, **fields: Any) -> Summary:
        settings = ScoreImages(
            model="m", images=str(images), output=str(output), **{"noisy_above_std_grey": 15.0, **fields}
        )
        listed = list_images(settings.images, model.shape.size_px, 3)
        return score_images.score(spark, settings, FoundModel("m", "m", "run-1", Path("m.pt")), model, listed)

    return run_body


def draw(folder: Place, count: int) -> None:
    drawn = np.random.default_rng(1)
    for number in range(count):
        file = io.BytesIO()
        Image.fromarray(drawn.integers(0, 256, (5 + number, 14 - number, 3), np.uint8)).save(file, "png")
        path = folder / f"class {number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.getvalue())


def rows(output: Place) -> list[dict[str, Any]]:
    """Without the names of the files, which differ between a bucket and a disk."""
    tables = [
        pq.read_table(io.BytesIO((output / name).read_bytes())) for name in sorted(below(output)) if "part" in name
    ]
    found = [row for table in tables for row in table.drop_columns(["source"]).to_pylist()]
    return sorted(found, key=lambda row: str(row["image_id"]))


def test_a_bucket_has_the_scores_of_a_disk(score: Score, root: UPath, tmp_path: Path) -> None:
    for place in (root, tmp_path):
        draw(place / "signs", 5)
        (place / "signs" / "class 0" / "broken.png").write_bytes(b"not an image")
        (place / "signs" / "notes.txt").write_text("left out")
        (place / "signs" / "_hidden.png").write_bytes(b"")
    left_out = [list_folder(place / "signs").left_out for place in (root, tmp_path)]
    assert left_out[0] == left_out[1] != ""
    there, here = (
        score(root / "signs", root / "scores", classifier()),
        score(tmp_path / "signs", tmp_path / "s", classifier()),
    )
    assert (there.images, there.noisy, there.unreadable) == (here.images, here.noisy, here.unreadable) == (6, 5, 1)
    assert str(there.first_unreadable).startswith(f"{root}/signs/class 0/broken.png: ")
    assert rows(root / "scores") == rows(tmp_path / "s")
    assert Summary.model_validate_json((root / "scores" / SUMMARY_NAME).read_text()) == there
    assert [file.image_id for file in list_folder(root / "signs" / "class 1" / "1.png").files] == ["1.png"]


def test_rows_of_a_dataset_in_a_bucket_are_scored(score: Score, root: UPath, tmp_path: Path) -> None:
    local = write_signs(tmp_path / "signs")
    for name in below(local):
        (root / "signs" / name).write_bytes((local / name).read_bytes())
    assert score(root / "signs", tmp_path / "there", classifier()).images == 22
    score(local, tmp_path / "here", classifier())
    assert rows(tmp_path / "there") == rows(tmp_path / "here")


def test_later_scores_take_the_place_of_earlier_ones_and_of_what_a_killed_run_left(score: Score, root: UPath) -> None:
    draw(root / "signs", 2)
    left = root / "scores" / f"part-00000-{'a' * 44}.parquet"
    left.write_bytes(b"half")
    score(root / "signs", root / "scores", classifier(0))
    draw(root / "signs", 4)
    assert score(root / "signs", root / "scores", classifier(1)).images == 4
    assert len(rows(root / "scores")) == 4
    assert not left.exists()
    assert not [path for path in below(root / "scores") if "lease" in path]


def test_a_failed_run_changes_nothing(score: Score, root: UPath) -> None:
    draw(root / "signs", 2)
    score(root / "signs", root / "scores", classifier())
    before = below(root / "scores")
    broken = classifier(1)
    with torch.no_grad():
        for parameter in broken.network.parameters():
            parameter.fill_(3e38)  # finite, as a file of weights must be, but no logit is
    with pytest.raises(StoreError, match=r"nothing was changed there; .*not finite"):
        score(root / "signs", root / "scores", broken, partitions=1)
    assert below(root / "scores") == before


def test_what_cannot_be_scored_is_said(score: Score, root: UPath) -> None:
    with pytest.raises(SourceError, match=r"nowhere: no such folder, or nothing in it"):
        score(root / "nowhere", root / "scores", classifier())
    draw(root / "signs", 1)
    (root / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(StoreError, match="exists and does not contain scores, so it is not replaced"):
        refuse_strangers(root / "mine")
    with pytest.raises((SettingsError, ValueError), match="output is inside images"):
        score(root / "signs", root / "signs" / "scores", classifier())
