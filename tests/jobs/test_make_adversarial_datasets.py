"""Adversarial datasets through Spark and back."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from pyspark.sql import SparkSession
from rich.console import Console
from run_here import RunHere
from small_attacks import BLACK, SIZE_PX, classifier, rows, snr_db, write_signs

from pipelines.errors import RoadsignError, StoreError
from pipelines.settings import load
from pipelines.store.schema import MANIFEST_NAME, Cell, Manifest
from training.classifiers.trained import Classifier
from training.executors.adversarial_datasets import AdversarialDatasets, prepare
from training.gans.adversarial import Adversarial
from training.gans.trained import GanShape, TrainedGan
from training.streams.stream import Data, open_stream
from training.tracking import find_models

Make = Callable[..., Path]
ASKED = (50.0, 33.0)


def run(repository: Path, cwd: Path, job: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(repository / "jobs" / f"{job}.py"), *arguments]
    variables = {**os.environ, "COLUMNS": "200", **environment}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def make(spark: SparkSession, make_adversarial_datasets: ModuleType, repository: Path) -> Make:
    """Runs the job's body; returns the folder of the size."""

    def run_body(root: Path, model: Classifier, *overrides: str) -> Path:
        model.write(root.parent / "model.pt")
        arguments = [f"model={root.parent / 'model.pt'}", f"data.root={root}", *overrides]
        settings = load(AdversarialDatasets, repository / "conf" / "make_adversarial_datasets.yaml", arguments)
        (found,) = find_models([settings.model])
        plan = prepare(settings, found, Classifier.read(found.path, torch.device("cpu")))
        make_adversarial_datasets.make(spark, settings, plan, Console(file=sys.stdout, width=500))
        return Cell("crop_or_pad", SIZE_PX, "clean").folder(root).parent

    return run_body


@pytest.fixture(scope="module")
def model() -> Classifier:
    return classifier()


@pytest.fixture(scope="module")
def made(make: Make, model: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_signs(tmp_path_factory.mktemp("made") / "signs")
    return make(root, model, "attack=fgsm", "snr_db=[50,33]", "splits=[validation,test]")


def folder_of(made: Path, name: str, model: Classifier) -> Path:
    return made / f"variant={name}" / f"attacked={model.digest[:12]}"


@pytest.mark.parametrize("asked", ASKED)
def test_rows_are_the_clean_ones_in_order_with_the_ratio_that_was_asked_for(
    made: Path, model: Classifier, asked: float
) -> None:
    adversarial = rows(folder_of(made, f"fgsm-snr{asked:.0f}", model), "float32")
    clean = rows(made / "variant=clean", "uint8")
    for name in ("image_id", "label"):
        assert [row[name] for row in adversarial] == [row[name] for row in clean]
    assert len(adversarial) == 22
    for row, before in zip(adversarial, clean, strict=True):
        source = before["image"].astype(np.float32) / np.float32(255)
        assert row["image"].min() >= 0 and row["image"].max() <= 1
        assert row["snr_db_asked"] == asked
        if row["image_id"] == BLACK:
            assert np.isnan([row["snr_db"], row["snr_db_before_clamp"], row["snr_db_uint8"]]).all()
            np.testing.assert_array_equal(row["image"], source)
            continue
        assert row["snr_db_before_clamp"] == pytest.approx(asked, abs=0.01)
        assert row["snr_db"] == pytest.approx(snr_db(source, row["image"]), abs=1e-3)
        rounded = np.rint(row["image"] * np.float32(255)) / np.float32(255)
        assert row["snr_db_uint8"] == pytest.approx(snr_db(source, rounded), abs=1e-3)


def test_predictions_are_those_of_the_attacked_network(made: Path, model: Classifier) -> None:
    def predicted(images: list[Any]) -> list[int]:
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        return [int(label) for label in model.network(batch).argmax(1)]

    adversarial = rows(folder_of(made, "fgsm-snr33", model), "float32")
    clean = [row["image"].astype(np.float32) / np.float32(255) for row in rows(made / "variant=clean", "uint8")]
    assert [row["prediction_before"] for row in adversarial] == predicted(clean)
    assert [row["prediction_after"] for row in adversarial] == predicted([row["image"] for row in adversarial])


def test_the_manifest_says_what_was_attacked_and_what_came_of_it(made: Path, model: Classifier) -> None:
    manifest = Manifest.read(folder_of(made, "fgsm-snr33", model))
    clean = Manifest.read(made / "variant=clean")
    assert manifest is not None and manifest.attack is not None and clean is not None
    fingerprint = manifest.fingerprint
    assert fingerprint["attacked"] == model.digest
    assert fingerprint["attacked_digest"] == clean.content_digest
    assert fingerprint["attack"] == {"kind": "fgsm", "norm": "linf", "snr_space": "pixel"}
    assert fingerprint["strength"] == {"snr_db": 33.0}
    assert manifest.source["model"] == {"name": "model", "run": None, "digest": model.digest}
    adversarial = pl.DataFrame(rows(folder_of(made, "fgsm-snr33", model), "float32")).drop("image")
    test = adversarial.filter(pl.col("image_id").str.starts_with("test/"))
    found = manifest.attack["test"]
    finite = test.filter(pl.col("snr_db").is_finite())
    assert found.snr_db_asked == 33
    assert found.snr_db_before_clamp.mean == pytest.approx(finite["snr_db_before_clamp"].mean(), abs=1e-5)
    assert manifest.statistics["test"].snr_db_mean == pytest.approx(finite["snr_db"].mean(), abs=1e-5)
    right = test.filter(pl.col("prediction_before") == pl.col("label"))
    assert (found.right_before, found.black, found.unchanged) == (len(right), 1, 0)
    assert found.fooled == (right["prediction_after"] != right["label"]).sum()
    assert manifest.counts == {"validation": 6, "test": 16}


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_every_byte_is_the_same_on_any_partitioning(
    make: Make, made: Path, model: Classifier, tmp_path: Path, partitions: int
) -> None:
    again = make(
        write_signs(tmp_path / "signs"), model, "attack=fgsm", "snr_db=[50,33]", "splits=[validation,test]",
        f"partitions={partitions}",
    )  # fmt: skip
    files = {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
    assert files == {path.relative_to(again) for path in again.rglob("*") if path.is_file()}
    assert len(files) == 2 * 3 + 2 * 4  # clean, and two ratios with the file that Hugging Face reads
    assert all((again / path).read_bytes() == (made / path).read_bytes() for path in files)


def test_random_starts_do_not_depend_on_partitions(make: Make, model: Classifier, tmp_path: Path) -> None:
    arguments = ("attack={kind: pgd, steps: 3}", "eps=[0.1]")
    digests = set()
    for partitions in (1, 2):
        made = make(write_signs(tmp_path / f"{partitions}" / "signs"), model, *arguments, f"partitions={partitions}")
        manifest = Manifest.read(folder_of(made, "pgd_steps_3-eps0.1", model))
        assert manifest is not None
        digests.add(manifest.content_digest)
    assert len(digests) == 1


def test_a_part_of_each_split_is_its_first_images_and_the_last_row_group_is_cut(
    make: Make, model: Classifier, tmp_path: Path
) -> None:
    digests = set()
    for partitions in (1, 3):
        root = write_signs(tmp_path / f"{partitions}" / "signs")
        arguments = ("snr_db=[33]", "data.images=8", "splits=[validation,test]", f"partitions={partitions}")
        folder = folder_of(make(root, model, *arguments), "fgsm-snr33", model)
        manifest = Manifest.read(folder)
        assert manifest is not None
        digests.add(manifest.content_digest)
    assert len(digests) == 1
    assert manifest.counts == {"validation": 6, "test": 8}
    assert manifest.fingerprint["attacked_images"] == 8
    assert [(part.split, part.rows) for part in manifest.parts] == [("test", 8), ("validation", 6)]
    clean = [row["image_id"] for row in rows(folder.parents[1] / "variant=clean", "uint8")]
    assert [row["image_id"] for row in rows(folder, "float32")] == clean[:8] + clean[16:]
    assert [pq.ParquetFile(folder / part.path).num_row_groups for part in manifest.parts] == [2, 1]


def test_a_part_of_the_images_is_streamed_but_not_mixed_with_all_of_them(
    make: Make, model: Classifier, tmp_path: Path
) -> None:
    root = write_signs(tmp_path / "signs")
    for arguments in (("snr_db=[50,33]", "data.images=12"), ("eps=[0.1]",)):
        make(root, model, *arguments)
    few = Data(root=str(root), size_px=SIZE_PX, mixture={"fgsm-snr50": 0.5, "fgsm-snr33": 0.5}, verify=True)
    batches = list(open_stream(few, "test", seed=0, batch_size=4).epoch(0))
    assert sorted(image_id for batch in batches for image_id in batch.image_ids) == [
        f"test/{row:05d}" for row in range(12)
    ]
    mixed = few.model_copy(update={"mixture": {"fgsm-snr50": 0.5, "fgsm-eps0.1": 0.5}})
    with pytest.raises(RoadsignError, match=r"their counts differ .* with the same splits and data\.images"):
        open_stream(mixed, "test", seed=0, batch_size=4)


def test_a_minimal_perturbation_needs_no_strength(make: Make, model: Classifier, tmp_path: Path) -> None:
    made = make(write_signs(tmp_path / "signs"), model, "attack=deepfool")
    manifest = Manifest.read(folder_of(made, "deepfool", model))
    assert manifest is not None and manifest.attack is not None
    found = manifest.attack["test"]
    assert found.snr_db_asked is None
    assert found.fooled == found.right_before
    assert found.unchanged + found.black >= 16 - found.right_before


def test_noisy_images_can_be_attacked(make: Make, model: Classifier, tmp_path: Path) -> None:
    root = write_signs(tmp_path / "signs", ("clean", "gaussian-max"))
    made = make(root, model, "attack=fgsm", "snr_db=[33]", "data.variant=gaussian-max")
    adversarial = rows(folder_of(made, "fgsm_on_gaussian_max-snr33", model), "float32")
    noisy = {row["image_id"]: row["image"] for row in rows(made / "variant=gaussian-max", "uint8")}
    for row in (row for row in adversarial if row["image_id"] != BLACK):
        source = noisy[row["image_id"]].astype(np.float32) / np.float32(255)
        assert row["snr_db"] == pytest.approx(snr_db(source, row["image"]), abs=1e-3)


def test_adversarial_images_are_streamed_like_any_variant(made: Path, model: Classifier) -> None:
    root = str(made.parents[1])
    names = ["fgsm-snr33", f"fgsm-snr50/attacked={model.digest[:4]}"]
    data = Data(root=root, size_px=SIZE_PX, mixture=dict.fromkeys(names, 0.5), verify=True)
    stored = {
        name: {row["image_id"]: row["image"] for row in rows(folder_of(made, name.partition("/")[0], model), "float32")}
        for name in names
    }
    seen = 0
    for batch in open_stream(data, "test", seed=0, batch_size=8).epoch(0):
        assert batch.images.dtype == torch.float32
        for image_id, image in zip(batch.image_ids, batch.images, strict=True):
            pixels = image.permute(1, 2, 0).numpy()
            assert any(np.array_equal(pixels, of[image_id]) for of in stored.values())
            seen += 1
    assert seen == 16
    mixed = data.model_copy(update={"mixture": {"clean": 0.5, "fgsm-snr33": 0.5}})
    with pytest.raises(RoadsignError, match="a stream holds either adversarial images or images of 256 grey"):
        open_stream(mixed, "test", seed=0, batch_size=8)


def test_evaluation_distinguishes_white_box_from_transfer(
    run_here: RunHere, evaluate_classifiers: ModuleType, make: Make, tmp_path: Path
) -> None:
    """The accuracies are those of the predictions that the job has stored."""
    root = write_signs(tmp_path / "signs")
    model, other = classifier(0), classifier(1)
    for attacked in (model, other):
        made = make(root, attacked, "attack=fgsm", "snr_db=[20]")
    model.write(tmp_path / "model.pt")
    arguments = ("models=model.pt", "data.root=signs", "device=cpu")
    refused = run_here(evaluate_classifiers, tmp_path, *arguments, "variants=[fgsm-snr3]").stderr
    assert all(f"fgsm-snr20/attacked={attacked.digest[:12]}" in refused for attacked in (model, other))
    done = run_here(evaluate_classifiers, tmp_path, *arguments, "variants=[clean,fgsm-snr20]")
    assert done.returncode == 0, done.stderr
    (table,) = (tmp_path / "data" / "evaluations").glob("*/evaluation.parquet")
    accuracy = pl.read_parquet(table).filter(pl.col("metric") == "accuracy")
    transfer = f"fgsm_transfer_{other.digest[:12]}"
    shown = {("none", "none"), ("fgsm", "snr20"), (transfer, "snr20")}
    assert set(accuracy.select("noise", "level").rows()) == shown
    test = [row for row in rows(folder_of(made, "fgsm-snr20", model), "float32") if row["image_id"].startswith("test")]
    right = np.mean([row["prediction_after"] == row["label"] for row in test])
    assert accuracy.filter(pl.col("noise") == "fgsm")["value"].item() == pytest.approx(right)
    with pytest.raises(RoadsignError, match=r"fgsm-snr20: several networks were attacked.*name one of: fgsm-snr20/at"):
        open_stream(Data(root=str(root), size_px=SIZE_PX, mixture={"fgsm-snr20": 1.0}), "test", seed=0, batch_size=8)


def test_the_command_as_typed_and_a_second_run(
    repository: Path, run_here: RunHere, make_adversarial_datasets: ModuleType, tmp_path: Path
) -> None:
    root = write_signs(tmp_path / "signs")
    model = classifier()
    model.write(tmp_path / "model.pt")
    arguments = ("model=model.pt", "attack=fgsm", "snr_db=[50,45,40,33]", "data.root=signs", f"data.size_px={SIZE_PX}")
    dry = run_here(make_adversarial_datasets, tmp_path, "--dry-run", *arguments)
    assert f"signs/geometry=crop_or_pad/size_px=8/variant=fgsm-snr45/attacked={model.digest[:12]}" in dry.stdout
    assert "test: 16 of 16 images" in dry.stdout
    assert not list(root.rglob("attacked=*"))
    done = run(repository, tmp_path, "make_adversarial_datasets", *arguments)
    assert "4 datasets made, 0 were there already" in done.stdout, done.stderr
    assert "fgsm-snr40" in done.stdout
    assert [path.name for path in tmp_path.iterdir() if "staging" in path.name] == []
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = run_here(make_adversarial_datasets, tmp_path, *arguments)
    assert "0 datasets made, 4 were there already, unchanged" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.slow
def test_an_executor_without_torch_says_so(repository: Path, tmp_path: Path) -> None:
    root = write_signs(tmp_path / "signs")
    classifier().write(tmp_path / "model.pt")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path / "bare"}:$PYTHONPATH exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    arguments = ("model=model.pt", "snr_db=[33]", "data.root=signs")
    done = run(repository, tmp_path, "make_adversarial_datasets", *arguments, PYSPARK_PYTHON=str(python))
    assert done.returncode == 1
    assert "ExecutorError: executor " in done.stderr and "lacks torch; install the project there" in done.stderr
    assert "Traceback" not in done.stderr.rpartition("error: ")[2]
    assert not list(root.rglob("attacked=*"))


def test_a_network_whose_logits_overflow_names_images_and_changes_nothing(make: Make, tmp_path: Path) -> None:
    root, broken = write_signs(tmp_path / "signs"), classifier()
    with torch.no_grad():
        next(broken.network.parameters()).fill_(3e38)  # finite, as a file of weights must be, but no logit is
    with pytest.raises(StoreError, match=r"nothing was changed there.*not finite for test/000"):
        make(root, broken, "attack=fgsm", "snr_db=[33]")
    assert not list(root.rglob("attacked=*"))


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["model=missing.pt"], 1, "missing.pt: no such file"),
        (["model=0123456789abcdef"], 1, "0123456789abcdef: not found in"),
        (["model=models:/signs@champion"], 1, "registered models:\n  none"),
        (["model=unsafe.pt"], 1, "unsafe.pt: corrupt, or not a roadsign-robustness checkpoint"),
        (["model=larger.pt", "data.size_px=8"], 1, "larger.pt is for images of 16 px, not of 8 px"),
        (["model=few.pt"], 1, "few.pt has 10 classes, but small has 43"),
        (["snr_db=[.inf]"], 2, "snr_db.0: must be a finite number"),
        (["snr_db=[.nan]"], 2, "snr_db.0: must be a finite number"),
        (["snr_db=null"], 2, "fgsm needs snr_db=[50,45,40,33] or eps=[0.03], one of the two"),
        (["eps=[0.1]"], 2, "fgsm needs snr_db=[50,45,40,33] or eps=[0.03], one of the two"),
        (["snr_db=[33,33.0]"], 2, "snr_db: contains duplicates"),
        (["attack=deepfool"], 2, "snr_db: deepfool seeks the smallest perturbation, leave it null"),
        (["attack={kind: universal}"], 2, "universal makes one perturbation for all images"),
        (["data.images=0"], 2, "data.images: must be at least 1"),
        (["attack=fgms"], 2, "attack=fgms: not in"),
        (["attack.norm=l3"], 2, "norm: must be linf or l2"),
        (["data.root=nowhere"], 1, "nowhere: no such dataset; the datasets in . are: "),
        (["data.variant=gaussian-max"], 1, "no such dataset (variants there: clean)"),
        (["splits=[train]"], 1, "split train has no images; splits with images: test, validation"),
    ],
)
def test_bad_input_is_named_without_a_traceback(
    make_adversarial_datasets: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], arguments: list[str], exit_code: int, message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    write_signs(tmp_path / "signs")
    classifier().write(tmp_path / "model.pt")
    classifier(size_px=16).write(tmp_path / "larger.pt")
    classifier(classes=10).write(tmp_path / "few.pt")
    torch.save({"format": "roadsign-robustness checkpoint 1", "settings": shutil.rmtree}, tmp_path / "unsafe.pt")
    given = ["model=model.pt", "snr_db=[33]", "data.root=signs", *arguments]
    assert make_adversarial_datasets.main(given) == exit_code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_the_manifest_of_a_noisy_dataset_has_no_attack(tmp_path: Path) -> None:
    folder = Cell("crop_or_pad", SIZE_PX, "clean").folder(write_signs(tmp_path / "signs"))
    assert "attack" not in json.loads((folder / MANIFEST_NAME).read_text())


def test_other_readers_find_both_kinds_by_the_patterns_of_the_docs(made: Path, spark: SparkSession) -> None:
    root = made.parents[1]
    query = "select variant, count(*) from read_parquet('{}', hive_partitioning=true) group by all"
    in_duckdb = dict(duckdb.sql(query.format(f"{root}/*/*/*/attacked=*/*/*.parquet")).fetchall())
    assert in_duckdb == {"fgsm-snr33": 22, "fgsm-snr50": 22}
    assert duckdb.sql(query.format(f"{root}/*/*/*/*/*.parquet")).fetchall() == [("clean", 22)]
    in_polars = pl.scan_parquet(root / "*/*/variant=fgsm-*/*/*/*.parquet", hive_partitioning=True)
    assert dict(in_polars.group_by("variant").len().collect().iter_rows()) == in_duckdb
    reader = spark.read.option("basePath", str(root))
    in_spark = reader.parquet(f"{root}/*/*/variant=fgsm-*/attacked=*").groupBy("variant").count().collect()
    assert {row["variant"]: row["count"] for row in in_spark} == in_duckdb
    assert reader.parquet(f"{root}/*/*/variant=clean/split=*").count() == 22


def test_a_generator_attack_is_a_separate_variant(make: Make, model: Classifier, tmp_path: Path) -> None:
    gan = Adversarial(snr_db=30)
    shape = GanShape(SIZE_PX, 43, tuple(range(43)))
    generator = TrainedGan(shape.build(gan, seed=0).generator.eval(), gan, shape, {"run_id": "r1"})
    generator.write(tmp_path / "generator.pt")
    root = write_signs(tmp_path / "signs")
    made = make(root, model, "attack=gan", f"attack.generator={tmp_path / 'generator.pt'}", "snr_db=[33]")
    folder = folder_of(made, "gan-adversarial-snr33", model)
    ratios = {row["image_id"]: row["snr_db_before_clamp"] for row in rows(folder, "float32")}
    assert np.isnan(ratios.pop(BLACK))
    assert list(ratios.values()) == pytest.approx([33] * 15, abs=0.01)
    manifest = Manifest.read(folder)
    assert manifest is not None
    assert manifest.fingerprint["attack"]["generator"] == generator.digest
    assert manifest.source["generator"] == {"run": "r1"}


def test_a_generator_for_another_size_is_refused(make: Make, model: Classifier, tmp_path: Path) -> None:
    gan, shape = Adversarial(snr_db=30), GanShape(12, 43, (0, 1))
    TrainedGan(shape.build(gan, seed=0).generator.eval(), gan, shape).write(tmp_path / "generator.pt")
    with pytest.raises(
        RoadsignError, match=r"is for images of 12 px, the model for 8 px; train one with data\.size_px=8"
    ):
        make(
            write_signs(tmp_path / "signs"),
            model,
            "attack=gan",
            f"attack.generator={tmp_path / 'generator.pt'}",
            "snr_db=[33]",
        )
