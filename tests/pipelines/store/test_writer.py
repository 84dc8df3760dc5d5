"""Datasets through Spark and back: reproducible bytes, visible in one step, refused when damaged."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import fake_gtsrb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pyspark.sql import SparkSession
from rich.console import Console

from pipelines.datasets.gtsrb_card import GTSRB_CARD
from pipelines.errors import SourceError, StoreError
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from pipelines.spark.sources import is_unchanged
from pipelines.store import staging, writer
from pipelines.store.cell_rows import NoisyRows
from pipelines.store.folders import staging_folder
from pipelines.store.schema import MANIFEST_NAME, Cell, Manifest

Make = Callable[..., Path]
SMALL = (
    "sizes_px=[28,40]",
    "variants=[clean,gaussian-max,salt_pepper-max]",
    "images_per_part=8",
    "images_per_row_group=3",
)
HOLD_THE_LOCK = """
import pathlib, sys
from pipelines.store import writer
with writer.locked(pathlib.Path(sys.argv[1])):
    print(flush=True)
    input()
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    fake_gtsrb.write_official(root, fake_gtsrb.make_images(frames=5))
    return root


@pytest.fixture(scope="module")
def make(spark: SparkSession, make_noisy_datasets: ModuleType, repository: Path) -> Make:
    """Runs the job's body; returns the dataset's folder."""

    def run(raw: Path, output_root: Path, *overrides: str) -> Path:
        arguments = [f"dataset.root={raw}", f"output_root={output_root}", *fake_gtsrb.ITS_CLASSES, *SMALL, *overrides]
        settings = load(NoisyDatasets, repository / "conf" / "make_noisy_datasets.yaml", arguments)
        make_noisy_datasets.make(spark, settings.dataset.listing(), settings, Console(file=sys.stdout, width=500))
        return settings.dataset_folder

    return run


@pytest.fixture(scope="module")
def made(make: Make, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(raw, tmp_path_factory.mktemp("made"))


def files_of(root: Path) -> dict[str, str]:
    """SHA-256 of every Parquet file by its relative path."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*.parquet"))
    }


def manifests_of(root: Path) -> dict[str, Manifest]:
    found = {path.parent.relative_to(root).as_posix(): Manifest.read(path.parent) for path in root.rglob(MANIFEST_NAME)}
    assert all(found.values())
    return {name: manifest for name, manifest in found.items() if manifest is not None}


def digests_of(root: Path) -> dict[str, str]:
    return {name: manifest.content_digest for name, manifest in manifests_of(root).items()}


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_the_bytes_of_every_file_do_not_depend_on_partitions(
    make: Make, raw: Path, made: Path, tmp_path: Path, partitions: int
) -> None:
    again = make(raw, tmp_path, f"partitions={partitions}")
    assert files_of(again) == files_of(made)
    assert digests_of(again) == digests_of(made)
    assert len(files_of(made)) == 6 * (2 + 2 + 1)  # 15 train, 15 validation and 4 test images in parts of 8


def test_digests_are_the_same_on_every_machine(made: Path, repository: Path) -> None:
    """If the change of bytes is intended, raise schema.FORMAT_VERSION and update tests/golden."""
    golden = json.loads((repository / "tests" / "golden" / "dataset_digests.json").read_text())
    assert digests_of(made) == golden


def test_all_noises_and_a_resampling_geometry_have_their_own_folders(make: Make, raw: Path, tmp_path: Path) -> None:
    settings = ("geometry=roi_resize", "noise=[paper,proposal]", "variants=all", "sizes_px=[28]")
    root = make(raw, tmp_path, *settings)
    made = manifests_of(root)
    assert len(made) == 25
    assert {name.partition("/")[0] for name in made} == {"geometry=roi_resize"}
    unchanged = Cell("roi_resize", 28, "random-min").folder(root)
    assert made[unchanged.relative_to(root).as_posix()].statistics["test"].snr_db_infinite == 4
    assert (root / "geometry=roi_resize" / "_figures" / "noise_levels-28px.png").is_file()


@pytest.mark.parametrize("write", [fake_gtsrb.write_zips, fake_gtsrb.write_kaggle], ids=["zips", "kaggle"])
def test_every_layout_of_the_source_gives_the_same_bytes(
    make: Make, made: Path, tmp_path: Path, write: Callable[[Path, list[fake_gtsrb.FakeImage]], None]
) -> None:
    write(tmp_path / "raw", fake_gtsrb.make_images(frames=5))
    again = make(tmp_path / "raw", tmp_path / "out")
    assert files_of(again) == files_of(made)


def test_the_content_digest_is_the_sum_of_the_rows_as_another_reader_sees_them(made: Path) -> None:
    for name, manifest in manifests_of(made).items():
        total = 0
        for part in manifest.parts:
            for row in pq.ParquetFile(made / name / part.path).read().to_pylist():
                snr = memoryview(bytearray(4)).cast("f")
                snr[0] = row["snr_db"]
                key = f"{part.split}\0{row['image_id']}\0{row['label']}\0".encode()
                total += int(hashlib.sha256(key + bytes(snr.cast("B")) + row["image"]).hexdigest(), 16)
        assert manifest.content_digest == f"{total % 2**256:064x}"


def test_rows_are_aligned_across_sizes_and_variants_and_counted(made: Path) -> None:
    ids = {}
    for name, manifest in manifests_of(made).items():
        rows = [row for part in manifest.parts for row in pq.ParquetFile(made / name / part.path).read().to_pylist()]
        ids[name] = [row["image_id"] for row in rows]
        assert manifest.counts == {"train": 15, "validation": 15, "test": 4}
        assert sum(part.rows for part in manifest.parts) == len(rows) == 34
        assert sum(sum(counts.values()) for counts in manifest.counts_per_class.values()) == 34
        shown = {(row["image_id"].split("/")[0], row["label"], row["group"]) for row in rows}
        tracks = Counter(label for split, label, _ in shown if split == "train")
        assert manifest.groups_per_class is not None
        assert (
            sum((Counter(manifest.groups_per_class[split]) for split in ("train", "validation")), Counter()) == tracks
        )
        assert manifest.groups_per_class["test"] == manifest.counts_per_class["test"]
        assert manifest.card.unknown_groups == ("test",)
    assert len(ids) == 6
    assert len({tuple(order) for order in ids.values()}) == 1


def test_rows_of_a_split_are_in_order_of_the_hash_of_their_id(made: Path) -> None:
    """So the first rows are a random sample, as attacks on a part of the images assume."""
    for name, manifest in manifests_of(made).items():
        for split, images in manifest.counts.items():
            files = [pq.ParquetFile(made / name / part.path) for part in manifest.parts if part.split == split]
            ids = [image_id for file in files for image_id in file.read(["image_id"])["image_id"].to_pylist()]
            assert ids == sorted(ids, key=lambda image_id: hashlib.sha256(image_id.encode()).digest())
            assert len(ids) == images


def test_columns_row_groups_and_metadata_follow_the_contract(made: Path) -> None:
    cell = Cell("crop_or_pad", 40, "gaussian-max")
    file = pq.ParquetFile(cell.folder(made) / "split=train" / "part-00000.parquet")
    assert [(field.name, str(field.type)) for field in file.schema_arrow] == [
        ("image_id", "string"),
        ("label", "int32"),
        ("group", "string"),
        ("image", "binary"),
        ("snr_db", "float"),
    ]
    facts = {b"pixel_dtype": b"uint8", b"size_px": b"40", b"channels": b"3", b"layout": b"HWC RGB"}
    assert file.schema_arrow.metadata == facts
    rows = file.read(["image_id", "group"]).to_pylist()
    assert all(f"train/{row['group']}" == row["image_id"].rpartition("_")[0] for row in rows)
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [3, 3, 2]
    assert {len(image) for image in file.read()["image"].to_pylist()} == {40 * 40 * 3}


def test_a_second_run_changes_nothing(make: Make, raw: Path, made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert make(raw, made.parent) == made
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


def test_unchanged_datasets_are_recognized_without_opening_an_image(
    make: Make, tmp_path: Path, repository: Path
) -> None:
    fake_gtsrb.write_official(tmp_path / "raw", fake_gtsrb.make_images(frames=5))
    root = make(tmp_path / "raw", tmp_path / "out")

    def unchanged(*overrides: str) -> bool:
        arguments = [f"dataset.root={tmp_path / 'raw'}", f"output_root={tmp_path / 'out'}", *SMALL, *overrides]
        arguments += fake_gtsrb.ITS_CLASSES
        settings = load(NoisyDatasets, repository / "conf" / "make_noisy_datasets.yaml", arguments)
        return is_unchanged(settings.dataset.listing(), settings)

    assert unchanged()
    assert not unchanged("seed=1")
    assert not unchanged("sizes_px=[28,40,50]")
    image = tmp_path / "raw" / "Final_Test" / "Images" / "00001.ppm"
    times_ns = (image.stat().st_atime_ns, image.stat().st_mtime_ns)
    os.utime(image)
    assert not unchanged()
    os.utime(image, ns=times_ns)
    assert unchanged()
    annotations = image.with_name("GT-final_test.csv")
    text = annotations.read_bytes()
    annotations.write_bytes(text.replace(b";14\r\n", b";0\r\n"))
    assert not unchanged()
    annotations.write_bytes(text)
    assert unchanged()
    next(root.rglob("*.parquet")).unlink()
    assert not unchanged()


@pytest.mark.parametrize("damage", ["truncate", "delete", "manifest"])
def test_a_damaged_variant_is_made_again_and_the_others_stay(
    make: Make, raw: Path, made: Path, tmp_path: Path, damage: str
) -> None:
    root = make(raw, tmp_path)
    folder = Cell("crop_or_pad", 28, "gaussian-max").folder(root)
    part = folder / "split=test" / "part-00000.parquet"
    if damage == "truncate":
        os.truncate(part, part.stat().st_size - 1)
    elif damage == "delete":
        part.unlink()
    else:
        (folder / MANIFEST_NAME).write_text((folder / MANIFEST_NAME).read_text()[:-40])
    others = {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet") if folder not in path.parents}
    make(raw, tmp_path)
    assert files_of(root) == files_of(made)
    assert {path: path.stat().st_mtime_ns for path in others} == others


def spoil_image(folder: Path) -> None:
    path = folder / "split=test" / "part-00000.parquet"
    image = pq.read_metadata(path).row_group(0).column(2)
    data = bytearray(path.read_bytes())
    data[image.data_page_offset + image.total_compressed_size - 20] ^= 1
    path.write_bytes(data)


def spoil_manifest(old: str, new: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / MANIFEST_NAME
        text, times = re.subn(old, new, path.read_text(), count=1)
        assert times == 1
        path.write_text(text)

    return spoil


SPOILED = {
    r"split=test/part-00000\.parquet: .*CRC": spoil_image,
    "content digest": spoil_manifest('"content_digest": "[0-9a-f]{8}', '"content_digest": "00000000'),
    r"statistics\.train\.snr_db_mean": spoil_manifest(r'"snr_db_mean": [\d.]+', '"snr_db_mean": 99.0'),
    r"groups_per_class\.train": spoil_manifest(r'("groups_per_class": \{\s+"train": \{\s+"0": )1', r"\g<1>2"),
    r"counts_per_class\.train": spoil_manifest(r'"0": 5,(\s+)"14": 5', r'"0": 6,\1"14": 4'),
}


@pytest.mark.parametrize("found", SPOILED)
def test_damage_that_keeps_the_size_is_not_kept_silently_with_verify(
    make: Make, raw: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], found: str
) -> None:
    root = Path(shutil.copytree(made, tmp_path / made.name))
    folder = Cell("crop_or_pad", 28, "gaussian-max").folder(root)
    SPOILED[found](folder)
    others = {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet") if folder not in path.parents}
    make(raw, tmp_path, "verify=true")
    assert re.search(rf"made again: {folder}: .*{found}", capsys.readouterr().out)
    assert files_of(root) == files_of(made)
    assert manifests_of(root) == manifests_of(made)
    assert {path: path.stat().st_mtime_ns for path in others} == others
    make(raw, tmp_path, "verify=true")
    assert "0 datasets made, 6 were there already, unchanged" in capsys.readouterr().out


def test_hugging_face_finds_the_files_of_each_split(made: Path) -> None:
    """As in its documentation, in a file that Spark, pandas and DuckDB ignore."""
    for name, manifest in manifests_of(made).items():
        (config,) = yaml.safe_load((made / name / ".huggingface.yaml").read_text())["configs"]
        assert config["config_name"] == "default"
        found = {one["split"]: sorted((made / name).glob(one["path"])) for one in config["data_files"]}
        assert found == {
            split: sorted(made / name / part.path for part in manifest.parts if part.split == split)
            for split in manifest.counts
        }
        assert len(pd.read_parquet(made / name)) == 34


def test_other_settings_replace_existing_datasets(
    make: Make, raw: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are announced first."""
    root = make(raw, tmp_path)
    make(raw, tmp_path, "seed=1")
    assert "6 datasets will be replaced: seed 0 → 1" in capsys.readouterr().out
    assert digests_of(root) != digests_of(made)
    assert {manifest.fingerprint["seed"] for manifest in manifests_of(root).values()} == {1}
    assert not list(tmp_path.glob(".*"))


def test_leftovers_of_a_killed_run_are_removed(make: Make, raw: Path, tmp_path: Path) -> None:
    left = staging_folder(tmp_path / "gtsrb") / "attempt-1" / "part-00000.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    make(raw, tmp_path)
    assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["gtsrb"]


def test_a_second_writer_is_refused_while_the_first_one_runs(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StoreError, match="another run is writing here"), writer.locked(tmp_path):
            pass
        holder.kill()
    with writer.locked(tmp_path):
        pass


def test_a_failing_task_changes_nothing(
    make: Make, spark: SparkSession, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(raw, tmp_path)
    before = files_of(root)
    victim = next((raw / "Final_Test" / "Images").glob("*.ppm"))
    original = writer.write_datasets

    def spoil_then_write(*arguments: object) -> None:
        data = victim.read_bytes()
        victim.write_bytes(data[:-1])
        try:
            original(*arguments)  # type: ignore[arg-type]
        finally:
            victim.write_bytes(data)

    monkeypatch.setattr(writer, "write_datasets", spoil_then_write)
    with pytest.raises(StoreError, match=f"{victim}: was readable when the run started") as caught:
        make(raw, tmp_path, "seed=1")
    assert "nothing was changed" in str(caught.value)
    assert files_of(root) == before
    assert [path.name for path in tmp_path.iterdir()] == ["gtsrb"]


def test_a_staging_folder_that_cannot_be_made_is_named(make: Make, raw: Path, tmp_path: Path) -> None:
    staging_folder(tmp_path / "gtsrb").write_text("")
    with pytest.raises(StoreError, match=r"nothing was changed there; .*Not a directory: .*\.gtsrb\.staging"):
        make(raw, tmp_path)


def test_a_task_that_survives_its_failed_job_leaves_nothing(tmp_path: Path) -> None:
    """Spark fails a job with its first failing task and does not wait for the others."""
    cell = Cell("crop_or_pad", 1, "clean")
    plan = writer.Plan(tmp_path / "gtsrb", GTSRB_CARD, {cell: {}}, {"train": 2}, {}, {}, 1, "none")
    plan.staging.mkdir(parents=True)

    def expand(rows: pa.Table) -> Iterator[NoisyRows]:
        yield NoisyRows(1, "clean", np.zeros((1, 3), np.uint8), np.ones(1), np.zeros(1))

    def parts() -> Iterator[pa.RecordBatch]:
        for part in range(3):  # a part is written when the next one begins
            if part == 2:
                assert len(list(plan.staging.rglob("*.parquet"))) == 1
                writer._clear(plan)
            yield pa.RecordBatch.from_pylist(
                [
                    {
                        "image_id": f"{part}",
                        "label": 0,
                        "group": "g",
                        "split": "train",
                        "part": part,
                        "part_in_split": part,
                    }
                ]
            )

    with pytest.raises(FileNotFoundError):
        staging.StagingWriter(plan, lambda: expand).write(parts())
    assert not list(tmp_path.iterdir())


def test_counts_that_do_not_add_up_are_never_published(tmp_path: Path) -> None:
    cell = Cell("crop_or_pad", 28, "clean")
    plan = writer.Plan(tmp_path / "gtsrb", GTSRB_CARD, {cell: {}}, {"train": 2}, {}, {}, 1000, "none")
    with pytest.raises(StoreError, match=r"\{\} images written, \{'train': 2\} expected"):
        staging.publish(plan, [staging.Written()])
    assert not plan.root.exists()


def test_unreadable_images_are_listed_and_left_out(make: Make, tmp_path: Path) -> None:
    images = fake_gtsrb.make_images(frames=5)
    fake_gtsrb.write_official(tmp_path / "raw", images)
    folder = tmp_path / "raw" / "Final_Training" / "Images" / "00014"
    truncated, text, missized = (folder / f"00000_0000{frame}.ppm" for frame in range(3))
    truncated.write_bytes(truncated.read_bytes()[:-10])
    text.write_text("not an image")
    missized.write_bytes(b"P6\n2 2\n255\n" + bytes(12))
    broken = folder / "00000_00003.ppm"
    broken.unlink()
    broken.symlink_to("nowhere")
    with pytest.raises(SourceError, match=r"4 of 34 inputs are unusable, more than max_rejected_fraction=0\.001"):
        make(tmp_path / "raw", tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.parquet"))
    root = make(tmp_path / "raw", tmp_path / "out", "max_rejected_fraction=0.2")
    rejected = (root / "_rejected.csv").read_text()
    assert f'{truncated},"truncated: ' in rejected
    assert f'{text},"not a PPM, PNG, JPEG, BMP or WebP image"' in rejected
    assert f"{broken},FileNotFoundError" in rejected
    assert f'{missized},"is 2 × 2, but its annotation says' in rejected
    for manifest in manifests_of(root).values():
        assert sum(manifest.counts.values()) + manifest.source["rejected"] == len(images)
    (tmp_path / "raw" / "Final_Test" / "Images" / "00002.ppm").write_text("the only test image of its class")
    with pytest.raises(SourceError, match=r"no usable image of class test 42; the reasons are in .*_rejected"):
        make(tmp_path / "raw", tmp_path / "out", "max_rejected_fraction=0.2")


def test_duplicates_across_splits_are_reported_and_their_track_stays_in_train(make: Make, tmp_path: Path) -> None:
    images = fake_gtsrb.make_images(labels=(14,), tracks=8, frames=3, tests=2)
    twin = next(image for image in images if image.split == "train" and image.track == 5)
    copied = next(image for image in images if image.image_id == "test/00001")
    images = [image for image in images if image is not copied] + [copied._replace(pixels=twin.pixels)]
    fake_gtsrb.write_official(tmp_path / "raw", images)
    root = make(tmp_path / "raw", tmp_path / "out", "validation_fraction=0.85", "sizes_px=[28]", "variants=[clean]")
    (manifest,) = manifests_of(root).values()
    assert manifest.source["duplicates_across_splits"] == [["test/00001", twin.image_id]]
    (folder,) = (Path(root / name) for name in manifests_of(root))
    train = pq.read_table(folder / "split=train")["image_id"].to_pylist()
    assert {image_id[:17] for image_id in train} == {"train/00014/00005"}


def test_a_fraction_of_the_training_groups_is_made_and_the_rest_is_counted(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = fake_gtsrb.make_images(labels=(14,), tracks=10, frames=3, tests=2)
    fake_gtsrb.write_official(tmp_path / "raw", images)
    root = make(tmp_path / "raw", tmp_path / "out", "train_fraction=0.25", "sizes_px=[28]", "variants=[clean]")
    (manifest,) = manifests_of(root).values()
    assert manifest.counts == {"train": 2 * 3, "validation": 2 * 3, "test": 2}
    assert manifest.source["left_out"] == 6 * 3
    assert "18 left out by train_fraction" in capsys.readouterr().out
    make(tmp_path / "raw", tmp_path / "out", "sizes_px=[28]", "variants=[clean]")
    (whole,) = manifests_of(root).values()
    assert whole.counts["train"] == 8 * 3 and whole.source["digest"] == manifest.source["digest"]


def test_the_manifest_has_what_a_reader_needs(made: Path) -> None:
    manifest = json.loads((Cell("crop_or_pad", 28, "gaussian-max").folder(made) / MANIFEST_NAME).read_text())
    assert manifest["fingerprint"]["noise"] == {"kind": "gaussian", "std_grey": 50.0, "overflow": "clip"}
    assert manifest["made_by"].keys() >= {"code", "numpy", "pyarrow", "pillow"}
    assert manifest["statistics"]["train"]["snr_db"] == pytest.approx(8, abs=3)
