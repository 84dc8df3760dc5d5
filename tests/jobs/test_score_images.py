"""Scores of image files and of datasets, through Spark and back."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pyspark.sql import SparkSession
from small_attacks import SIZE_PX, classifier, write_signs

from pipelines.errors import StoreError
from pipelines.geometry.contract import Roi
from pipelines.geometry.crop_or_pad import CropOrPad
from pipelines.spark.scores import SCORES_SCHEMA, Summary, _reason
from pipelines.spark.scoring import ScoreImages, list_images
from pipelines.store.schema import parquet_schema
from training.classifiers.trained import Classifier
from training.tracking import FoundModel

Score = Callable[..., Summary]


@pytest.fixture(scope="module")
def score(spark: SparkSession, score_images: ModuleType) -> Score:
    """Runs the job's body."""

    def run_body(images: Path, output: Path, model: Classifier, **fields: Any) -> Summary:
        settings = ScoreImages(model="m", images=images, output=output, **{"noisy_above_std_grey": 15.0, **fields})
        listed = list_images(images, model.shape.size_px, 3)
        return score_images.score(spark, settings, FoundModel("m", "m", "run-1", Path("m.pt")), model, listed)

    return run_body


def draw(folder: Path, count: int = 5) -> dict[str, np.ndarray]:
    """Images of several sizes and formats by name: the first has one colour, the others are noise."""
    drawn = np.random.default_rng(1)
    images = {}
    for number in range(count):
        pixels = drawn.integers(0, 256, (5 + number, 14 - number, 3), np.uint8)
        name = f"class {number % 2}/{number}.{('png', 'ppm', 'bmp')[number % 3]}"
        images[name] = pixels if number else np.full_like(pixels, 90)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[name]).save(folder / name)
    return images


def rows(output: Path) -> dict[str, dict[str, Any]]:
    table = pq.read_table(output)
    assert table.schema.equals(SCORES_SCHEMA)
    return {row["image_id"]: row for row in table.to_pylist()}


def said_directly(model: Classifier, image: np.ndarray) -> tuple[int, float]:
    square = CropOrPad()(image, Roi(0, 0, 0, 0), SIZE_PX)
    with torch.no_grad():
        probabilities = model.network(torch.from_numpy(square / np.float32(255)).permute(2, 0, 1)[None]).softmax(1)[0]
    return int(probabilities.argmax()), float(probabilities.max())


def test_every_image_file_is_scored_as_the_model_scores_it(score: Score, tmp_path: Path) -> None:
    images, model = draw(tmp_path / "signs"), classifier()
    (tmp_path / "signs" / "broken.png").write_bytes(b"not an image")
    (tmp_path / "signs" / "empty.jpg").touch()
    summary = score(tmp_path / "signs", tmp_path / "scores", model, batch_size=2, partitions=3)
    found = rows(tmp_path / "scores")
    assert found.keys() == images.keys() | {"broken.png", "empty.jpg"}
    for name, image in images.items():
        prediction, confidence = said_directly(model, image)
        assert found[name]["source"] == str(tmp_path / "signs" / name)
        assert found[name]["prediction"] == prediction
        assert found[name]["confidence"] == pytest.approx(confidence, rel=1e-5)
        assert found[name]["noisy"] == (name != "class 0/0.png")
        assert found[name]["reason"] is None
    for name in ("broken.png", "empty.jpg"):
        measured = [found[name][key] for key in ("prediction", "confidence", "noise_std_grey", "noisy")]
        assert measured == [None] * 4
        assert found[name]["reason"] == "not a PPM, PNG, JPEG, BMP or WebP image"
    assert (summary.images, summary.noisy, summary.unreadable) == (7, 4, 2)
    assert summary.first_unreadable == f"{tmp_path}/signs/broken.png: not a PPM, PNG, JPEG, BMP or WebP image"
    told = json.loads((tmp_path / "scores" / "_scores.json").read_text())
    assert (
        pq.ParquetFile(next((tmp_path / "scores").glob("*.parquet")), page_checksum_verification=True).read()
        is not None
    )
    assert told["model"] == {"reference": "m", "run": "run-1", "digest": model.digest}


def test_every_row_of_a_dataset_is_scored(score: Score, tmp_path: Path) -> None:
    root, model = write_signs(tmp_path / "signs"), classifier()
    assert score(root, tmp_path / "scores", model).images == 22
    found = rows(tmp_path / "scores")
    stored = [
        row for path in sorted(root.rglob("*.parquet")) for row in pq.read_table(path, partitioning=None).to_pylist()
    ]
    assert found.keys() == {row["image_id"] for row in stored}
    for row in stored:
        image = np.frombuffer(row["image"], np.uint8).reshape(SIZE_PX, SIZE_PX, 3)
        assert found[row["image_id"]]["prediction"] == said_directly(model, image)[0]
    assert found["test/00003"]["noise_std_grey"] is None, "that image is black"
    assert found["test/00003"]["noisy"] is False
    query = f"select count(*) from read_parquet('{tmp_path / 'scores' / '*.parquet'}') where reason is null"
    assert duckdb.sql(query).fetchall() == [(22,)]


def test_images_that_cannot_be_opened_have_a_reason_and_odd_paths_stay_as_they_are(
    score: Score, tmp_path: Path
) -> None:
    folder, output = tmp_path / "in #1 %20 ü", tmp_path / "my out" / "Übersicht %C3 #?'\n"
    images, model = draw(folder, 3), classifier()
    (folder / "class 0" / "0.png").rename(folder / "Schild ä %41\n.png")
    Path(os.fsdecode(os.fsencode(folder) + b"/Stra\xdfe.png")).touch()
    os.mkfifo(folder / "pipe.png")
    (folder / "lost.png").symlink_to("nowhere.png")
    summary = score(folder, output, model)
    found = rows(output)
    assert {name: row["reason"] for name, row in found.items()} == {
        **{name: None for name in images if name != "class 0/0.png"},
        "Schild ä %41\n.png": None,
        r"Stra\xdfe.png": "its name is not UTF-8; rename it",
        "pipe.png": "not a regular file but a pipe, a socket or a device",
        "lost.png": "a broken link",
    }
    assert found["Schild ä %41\n.png"]["source"] == f"{folder}/Schild ä %41\n.png"
    assert (summary.images, summary.unreadable) == (6, 3)
    assert {path.name for path in output.parent.iterdir()} == {output.name}
    assert {path.name for path in output.iterdir()} >= {"_scores.json", "part-00000.parquet"}


def test_bit_rot_in_a_dataset_is_not_scored_silently(score: Score, tmp_path: Path) -> None:
    path = tmp_path / "signs" / "part.parquet"
    path.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (9, SIZE_PX**2 * 3), np.uint8)
    ids = [str(number) for number in range(9)]
    columns = {"image_id": ids, "label": [0] * 9, "group": ids, "image": [p.tobytes() for p in pixels]}
    table = pa.table({**columns, "snr_db": [0.0] * 9}, parquet_schema(SIZE_PX, 3))
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[data.index(pixels[4].tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"part\.parquet: row group 0 is corrupt .*CRC checksum"):
        score(path.parent, tmp_path / "scores", classifier(), partitions=1)
    assert [path.name for path in tmp_path.iterdir()] == ["signs"]


@pytest.mark.parametrize("value", [255.0, -0.5, np.nan])
def test_float_images_outside_the_unit_interval_are_not_scored_silently(value: float) -> None:
    image = np.full(SIZE_PX**2 * 3, 0.5, np.float32)
    assert _reason(image.tobytes(), image.dtype, image.size) is None
    image[7] = value
    assert _reason(image.tobytes(), image.dtype, image.size) in ("pixels outside [0, 1]", "pixels that are not finite")


def test_a_linked_output_stays_a_link(score: Score, tmp_path: Path) -> None:
    draw(tmp_path / "signs", 1)
    (tmp_path / "today").symlink_to(tmp_path / "big disk")
    score(tmp_path / "signs", tmp_path / "today", classifier())
    assert (tmp_path / "today").is_symlink()
    assert len(rows(tmp_path / "big disk")) == 1


def test_later_scores_take_the_place_of_earlier_ones(score: Score, tmp_path: Path) -> None:
    draw(tmp_path / "signs", 2)
    score(tmp_path / "signs", tmp_path / "scores", classifier(0))
    draw(tmp_path / "signs", 4)
    assert score(tmp_path / "signs", tmp_path / "scores", classifier(1)).images == 4
    assert len(rows(tmp_path / "scores")) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores", "signs"]


def test_a_folder_that_holds_something_else_is_left_alone(
    score_images: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    arguments = ["model=latest", f"images={tmp_path / 'signs'}", f"output={tmp_path / 'mine'}"]
    assert score_images.main(arguments) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'mine'}: exists and does not contain scores")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"


def test_a_failed_run_changes_nothing(score: Score, tmp_path: Path) -> None:
    draw(tmp_path / "signs", 2)
    score(tmp_path / "signs", tmp_path / "scores", classifier())
    before = rows(tmp_path / "scores")
    broken = classifier(1)
    with torch.no_grad():
        for parameter in broken.network.parameters():
            parameter.fill_(3e38)  # finite, as a file of weights must be, but no logit is
    with pytest.raises(StoreError, match=r"nothing was changed there; .*not finite"):
        score(tmp_path / "signs", tmp_path / "scores", broken, partitions=1)  # no other task that still writes
    assert rows(tmp_path / "scores") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores", "signs"]


def test_the_job_takes_a_checkpoint_and_says_what_came_out(repository: Path, tmp_path: Path) -> None:
    draw(tmp_path / "signs")
    classifier().write(tmp_path / "model.pt")
    command = [sys.executable, str(repository / "jobs" / "score_images.py"), "model=model.pt", "images=signs"]
    variables = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(
        [*command, "output=data/scores"], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "signs: 5 images in 5 files", "data/scores: 5 images, 4 look noisy, 0 are unreadable",
    ]  # fmt: skip
    assert len(rows(tmp_path / "data" / "scores")) == 5
