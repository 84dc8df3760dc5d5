"""Damage to a dataset's files is refused by name, or leaves the images unchanged."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from attacked_predictions import write_attacked
from small_datasets import Small

from pipelines.errors import SourceError, StreamError
from pipelines.spark.frames import _source_images
from pipelines.store.schema import MANIFEST_NAME, Cell
from training.evaluation.classifiers.attack_facts import read_attack_facts
from training.streams.open_split import open_split
from training.streams.stream import Data, open_stream

SIZE_PX = 16
PARTS: dict[Any, list[list[int]]] = {"train": [[5, 5, 2], [3]], "test": [[2]]}
PART = Path("split=train/part-00000.parquet")


def write(root: Path, **others: Any) -> Path:
    """Writes a variant; returns its folder."""
    Small(PARTS, size_px=SIZE_PX, **others).write(root)
    return Cell("crop_or_pad", SIZE_PX, "clean").folder(root)


def read(folder: Path, **others: Any) -> list[Any]:
    """Everything that a stream returns for an epoch."""
    data = Data(root=str(folder.parents[2]), size_px=SIZE_PX, pool="dummy", **others)
    batches = open_stream(data, "train", seed=0, batch_size=8).epoch(0)
    return [(batch.image_ids, batch.labels.tolist(), batch.images.numpy().tobytes()) for batch in batches]


def damaged(good: bytes, random: np.random.Generator, inside: slice) -> bytes:
    """A copy with one byte changed."""
    data = bytearray(good)
    data[int(random.integers(*inside.indices(len(good))[:2]))] ^= int(random.integers(1, 256))
    return bytes(data)


def footer_of(file: bytes) -> int:
    """The offset of the footer."""
    return len(file) - 8 - int.from_bytes(file[-8:-4], "little")


@pytest.mark.parametrize("pixel_dtype", ["uint8", "float32"])
@pytest.mark.parametrize("where", ["pages", "footer"])
def test_no_damaged_byte_changes_an_image_silently(tmp_path: Path, pixel_dtype: str, where: str) -> None:
    folder = write(tmp_path, pixel_dtype=pixel_dtype)
    good, whole = (folder / PART).read_bytes(), read(folder)
    inside = slice(0, footer_of(good)) if where == "pages" else slice(footer_of(good), None)
    random, outcomes = np.random.default_rng(0), Counter[str]()
    for _ in range(40):
        (folder / PART).write_bytes(damaged(good, random, inside))
        try:
            assert read(folder) == whole
            outcomes["the same"] += 1
        except StreamError as error:
            assert str(folder / PART) in str(error)
            outcomes["refused"] += 1
    assert outcomes["refused"] >= (10 if where == "pages" else 1)


def test_without_checksums_the_same_damage_would_change_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This shows that the tests above can fail."""
    path = write(tmp_path) / PART
    whole, data = read(path.parents[1]), bytearray(path.read_bytes())
    image = pq.ParquetFile(path).read()["image"][1].as_py()
    data[data.index(image[:64]) + 10] ^= 1
    path.write_bytes(data)
    with pytest.raises(StreamError, match=rf"{path}, row group 0: cannot be read .*CRC.*make it again"):
        read(path.parents[1])
    trusting = pq.ParquetFile

    def without_checksums(*arguments: Any, **others: Any) -> Any:
        return trusting(*arguments, **others | {"page_checksum_verification": False})

    monkeypatch.setattr("training.streams.parquet_pieces.pq.ParquetFile", without_checksums)
    assert read(path.parents[1]) != whole


def test_checksums_are_compared_when_a_row_group_is_first_read_and_not_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, checks = write(tmp_path), list[bool]()
    parquet_file = pq.ParquetFile

    def open_file(*arguments: Any, **others: Any) -> Any:
        checks.append(others["page_checksum_verification"])
        return parquet_file(*arguments, **others)

    monkeypatch.setattr("training.streams.parquet_pieces.pq.ParquetFile", open_file)
    stream = open_stream(Data(root=str(folder.parents[2]), size_px=SIZE_PX), "train", seed=0, batch_size=8)
    for epoch in range(3):
        list(stream.epoch(epoch))
    row_groups = sum(map(len, PARTS["train"]))
    assert checks == [True] * row_groups + [False] * 2 * row_groups
    read(folder)
    assert checks[3 * row_groups :] == [True] * row_groups, "another stream checks for itself"


def test_a_row_group_with_a_wrong_checksum_is_refused_each_time(tmp_path: Path) -> None:
    path = write(tmp_path) / PART
    data = bytearray(path.read_bytes())
    image = pq.ParquetFile(path).read()["image"][1].as_py()
    data[data.index(image[:64]) + 10] ^= 1
    path.write_bytes(data)
    stream = open_stream(Data(root=str(path.parents[4]), size_px=SIZE_PX), "train", seed=0, batch_size=8)
    for _ in range(2):
        with pytest.raises(StreamError, match=r"CRC"):
            list(stream.epoch(0))


@pytest.mark.parametrize("length", [0, 3, 4, 300, -4, -1])
def test_no_truncation_is_read_silently(tmp_path: Path, length: int) -> None:
    """Even if the manifest was written for the truncated file."""
    folder = write(tmp_path)
    data = (folder / PART).read_bytes()
    (folder / PART).write_bytes(data[:length])
    with pytest.raises(StreamError, match=re.escape(str(folder / PART))):
        read(folder)
    manifest = folder / MANIFEST_NAME
    sizes = f'"bytes":{len(data)}', f'"bytes":{len(data[:length])}'
    manifest.write_text(manifest.read_text().replace(*sizes))
    with pytest.raises(StreamError, match=re.escape(str(folder / PART))):
        read(folder)


def test_executors_read_no_damaged_page_silently(tmp_path: Path) -> None:
    path = write(tmp_path) / PART
    good = path.read_bytes()
    whole = [_source_images(str(path), number, 5) for number in range(3)]
    assert [len(images.labels) for images in whole] == [5, 5, 2]
    assert whole[0].pixels.flags.writeable
    random, refused = np.random.default_rng(1), 0
    for _ in range(60):
        path.write_bytes(damaged(good, random, slice(0, footer_of(good))))
        try:
            found = [_source_images(str(path), number, 5) for number in range(3)]
            assert all(np.array_equal(ours.pixels, theirs.pixels) for ours, theirs in zip(found, whole, strict=True))
        except SourceError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused >= 20


def test_executors_refuse_images_of_other_lengths_by_name(tmp_path: Path) -> None:
    """Even if their total is right."""
    path = write(tmp_path) / PART
    table = pq.ParquetFile(path).read()
    images = table["image"].to_pylist()
    images[0], images[1] = images[0] + images[1][:3], images[1][3:]
    pq.write_table(table.set_column(3, table.schema.field("image"), pa.array(images, pa.binary())), path)
    with pytest.raises(
        SourceError, match=rf"{path}, row group 0: cannot be read \(images of .* expected {16 * 16 * 3}\)"
    ):
        _source_images(str(path), 0, 12)


def test_a_dataset_of_an_older_format_is_named_with_the_jobs_that_make_it_again(tmp_path: Path) -> None:
    for version in (1, 2):
        folder = write(tmp_path / str(version), fingerprint={"format_version": version})
        manifest = json.loads((folder / MANIFEST_NAME).read_text())
        del manifest["card"]
        (folder / MANIFEST_NAME).write_text(json.dumps(manifest))
        with pytest.raises(
            StreamError, match=rf"has format {version}, this version reads 3; .*make_noisy_datasets\.py"
        ):
            read(folder)


def test_a_manifest_without_a_card_or_with_labels_outside_it_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path)
    manifest = json.loads((folder / MANIFEST_NAME).read_text())
    fewer = {**manifest["card"], "class_names": ["one", "two"], "hflip": {}, "vflip": {}}
    changes = (
        ({key: value for key, value in manifest.items() if key != "card"}, r"\(card: missing\)"),
        ({**manifest, "card": fewer}, r"counts_per_class has class \d+, but the card has 2 classes"),
        ({**manifest, "card": {**manifest["card"], "channels": 1}}, "expected 1 channels, as on the card"),
    )
    for changed, said in changes:
        (folder / MANIFEST_NAME).write_text(json.dumps(changed))
        with pytest.raises(StreamError, match=said):
            read(folder)


def test_what_is_known_of_attacked_images_is_not_read_damaged_silently(tmp_path: Path) -> None:
    small = Small({"test": [[5, 5]]}, size_px=8)
    write_attacked(small, tmp_path, "fgsm-snr33", "a" * 64, {"snr_db": 33.0})
    (path,) = tmp_path.rglob("*.parquet")
    variant = "fgsm-snr33/attacked=" + "a" * 12
    source = open_split(str(tmp_path), "crop_or_pad", 8, [variant], "test")
    column = pq.read_metadata(path).row_group(1).column(4)
    assert column.path_in_schema == "snr_db"
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(StreamError, match=rf"{path}, row group 1: cannot be read .*CRC"):
        read_attack_facts(source, variant)


def relabelled(folder: Path, label: int) -> None:
    """Changes the label of one training image; the manifest has the file's new size."""
    table = pq.ParquetFile(folder / PART).read()
    labels = [*table["label"].to_pylist()[:-1], label]
    table = table.set_column(1, table.schema.field("label"), pa.array(labels, pa.int32()))
    before = (folder / PART).stat().st_size
    pq.write_table(table, folder / PART, row_group_size=5)
    manifest = folder / MANIFEST_NAME
    manifest.write_text(manifest.read_text().replace(f'"bytes":{before}', f'"bytes":{(folder / PART).stat().st_size}'))


@pytest.mark.parametrize("label", [9999, -1, 15, 2**31 - 1])
@pytest.mark.parametrize("others", [{}, {"verify": True}], ids=str)
def test_a_label_outside_the_classes_is_refused_with_its_image(
    tmp_path: Path, label: int, others: dict[str, bool]
) -> None:
    folder = write(tmp_path)
    relabelled(folder, label)
    message = (
        rf"{folder / PART}.*: image train/00011 has label {label}, which is not one of the 15 classes in its manifest"
    )
    with pytest.raises(StreamError, match=message):
        read(folder, **others)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.5, -0.001])
def test_a_float_pixel_outside_of_0_and_1_is_refused_with_its_image(tmp_path: Path, value: float) -> None:
    class Broken(Small):
        def image(self, variant: str, image_id: str) -> np.ndarray[Any, Any]:
            pixels = super().image(variant, image_id)
            if image_id == "train/00007":
                pixels[2, 3, 1] = value
            return pixels

    Broken(PARTS, size_px=SIZE_PX, pixel_dtype="float32").write(tmp_path)
    folder = Cell("crop_or_pad", SIZE_PX, "clean").folder(tmp_path)
    for others in ({}, {"verify": True}):
        with pytest.raises(StreamError, match=r"image train/00007 has pixels that are not finite or not in \[0, 1\]"):
            read(folder, **others)


def test_null_values_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path)
    table = pq.ParquetFile(folder / PART).read()
    images = [None, *table["image"].to_pylist()[1:]]
    nullable = table.set_column(3, pa.field("image", pa.binary()), pa.array(images, pa.binary()))
    before = (folder / PART).stat().st_size
    pq.write_table(nullable, folder / PART, row_group_size=5)
    manifest = folder / MANIFEST_NAME
    manifest.write_text(manifest.read_text().replace(f'"bytes":{before}', f'"bytes":{(folder / PART).stat().st_size}'))
    with pytest.raises(StreamError, match=r"part-00000\.parquet: its schema does not match the contract"):
        read(folder)


EDITS = {
    "content digest": (r'"content_digest":"[0-9a-f]{64}"', f'"content_digest":"{0:064x}"'),
    r"statistics\.train\.channel_mean\.0": (r'"train":{"channel_mean":\[[^,]*', '"train":{"channel_mean":[0.25'),
    r"statistics\.test\.channel_std\.2": (r'("test":{"channel_mean":.*?"channel_std":.*?),[^,]*\]', r"\g<1>,0.5]"),
    r"statistics\.train\.snr_db_max": (r'"snr_db_max":[^,]*', '"snr_db_max":99.0'),
    r"statistics\.train\.snr_db_infinite": (r'"snr_db_infinite":0', '"snr_db_infinite":3'),
    r"counts_per_class\.train": (r'"0":1,"1":1', '"0":2,"1":0'),
}


@pytest.mark.parametrize("fact", EDITS)
def test_a_manifest_that_was_changed_by_hand_is_found_by_verify(tmp_path: Path, fact: str) -> None:
    folder = write(tmp_path)
    read(folder, verify=True)
    pattern, edited = EDITS[fact]
    text, times = re.subn(pattern, edited, (folder / MANIFEST_NAME).read_text(), count=1)
    assert times == 1
    (folder / MANIFEST_NAME).write_text(text)
    with pytest.raises(StreamError, match=rf"{folder}: {fact} .*, but the manifest says"):
        read(folder, verify=True)


def test_an_image_that_occurs_twice_is_found_by_verify(tmp_path: Path) -> None:
    class Doubled(Small):
        def _rows(self, variant: str, split: Any, first: int, rows: int) -> Any:
            for row in super()._rows(variant, split, first, rows):
                yield row | {"image_id": "train/00003"} if row["image_id"] == "train/00013" else row

    Doubled(PARTS, size_px=SIZE_PX).write(tmp_path)
    folder = Cell("crop_or_pad", SIZE_PX, "clean").folder(tmp_path)
    read(folder)
    with pytest.raises(StreamError, match=r"part-00001\.parquet: image_id train/00003 occurs twice"):
        read(folder, verify=True)


def test_hidden_files_next_to_the_parts_are_ignored(tmp_path: Path) -> None:
    folder = write(tmp_path)
    whole = read(folder)
    for name in (".huggingface.yaml", "_SUCCESS", "split=train/._part-00000.parquet", "split=train/.part.crc"):
        (folder / name).write_text("")
    assert read(folder) == whole
