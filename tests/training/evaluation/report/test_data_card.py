"""The data card beside counts by hand: objects by class and condition, what leaks, and where the images are from."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_datasets import CARD, Small, Tracks

from pipelines.store.schema import MANIFEST_NAME, Cell, Manifest
from training.evaluation.classifiers.predicting import EvaluationError, Predictions
from training.evaluation.report.conditions import brightness_bins, measure_conditions, side_bins, visible_part
from training.evaluation.report.contract import Block, Grid, Prose
from training.evaluation.report.data_card import data_section, leak_blocks
from training.evaluation.report.subjects import Subject
from training.streams.stream import Data

SIDES, GREYS = (12, 9, 4), (20, 100, 200)
CLASSES = 3


class Padded(Tracks):
    """Image n is 12, 9 or 4 px wide and one grey: 20, 100 or 200; each object has three images of one grey."""

    def image(self, variant: str, image_id: str) -> np.ndarray[Any, Any]:
        number = int(image_id[-5:])
        side, first = SIDES[number % 3], (12 - SIDES[number % 3]) // 2
        pixels = np.zeros((12, 12, 3), np.uint8)
        pixels[first : first + side, first : first + side] = GREYS[number // 3 % 3]
        return pixels


SMALL_CARD = CARD.model_copy(update={"class_names": ("stop", "yield", "30"), "hflip": {}, "vflip": {}})
SMALL = Padded({"train": [[6]], "test": [[10, 8]]}, size_px=12, card=SMALL_CARD)


def data(root: Path, **fields: Any) -> Data:
    return Data(root=str(root), size_px=12, **fields)


def shown(small: Small = SMALL, **fields: Any) -> Subject:
    number = np.arange(small.count("test"))
    labels = number % CLASSES
    ids = np.array([f"test/{one:05d}" for one in number])
    groups = np.array([f"track {one // 3}" for one in number])
    values: dict[str, Any] = {"groups": groups, "class_names": SMALL_CARD.class_names, **fields}
    found = Predictions(ids, labels, labels, np.eye(CLASSES, dtype=np.float32)[labels], "abc" * 20, **values)
    return Subject("A", "cnn", ["cnn"], {"clean": [found]}, {})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SMALL.write(tmp_path_factory.mktemp("padded"))


def grid(blocks: Sequence[Block], name: str) -> Grid:
    (found,) = [block for block in blocks if isinstance(block, Grid) and block.name == name]
    return found


def prose(blocks: Sequence[Block]) -> str:
    return " ".join(item for block in blocks if isinstance(block, Prose) for item in block.items)


def test_the_visible_part_is_the_frame_around_all_that_is_not_black() -> None:
    images = torch.zeros(3, 1, 6, 6)
    images[0, 0, 1, 2] = images[0, 0, 4, 3] = 0.1
    images[1] = 1
    height, width = visible_part(images)
    assert (height.tolist(), width.tolist()) == ([4, 6, 0], [2, 6, 0])


def test_size_and_brightness_are_those_inside_the_padding(root: Path) -> None:
    ids = np.array([f"test/{number:05d}" for number in range(18)])
    found = measure_conditions(data(root), "test", "clean", ids)
    number = np.arange(18)
    assert found.sides.tolist() == [SIDES[one % 3] for one in number]
    assert found.brightness == pytest.approx([GREYS[one // 3 % 3] for one in number], rel=1e-5)
    assert side_bins(found).names == ["up to 9 px", "10 – 11 px", "12 px or more"]
    assert side_bins(found).numbers.tolist() == [(2, 0, 0)[one % 3] for one in number]
    assert brightness_bins(found).numbers.tolist() == [one // 3 % 3 for one in number]
    assert side_bins(found._replace(padded=False)).names == [""]


def test_other_images_than_were_evaluated_are_an_error(root: Path) -> None:
    with pytest.raises(EvaluationError, match="other images than were evaluated"):
        measure_conditions(data(root), "test", "clean", np.array(["test/00001"]))


def test_objects_are_counted_by_class_and_split(root: Path) -> None:
    table = grid(data_section(data(root), "test", shown()).blocks, "objects_by_class")
    assert table.header == ["class", "train", "test"]
    assert [cell.text for cell in table.rows[0]] == ["0 stop", "unknown", "6"]  # no groups in this manifest's train
    assert [cell.note for cell in table.rows[0]] == ["", "2 images", "6 images"]
    assert [cell.note for cell in table.rows[-1]] == ["", "6 images", "18 images"]
    assert table.data is not None
    assert table.data.num_rows == 2 * CLASSES


def test_conditions_count_each_object_once_in_every_column_it_appears_in(root: Path) -> None:
    table = grid(data_section(data(root), "test", shown()).blocks, "objects_by_condition")
    assert len(table.header) == 1 + 3 * 3
    assert table.header[1] == "dark (below 64), up to 9 px"
    assert [cell.text for cell in table.rows[-1]] == ["all", "2", "none", "2", "2", "none", "2", "2", "none", "2"]
    assert [cell.note for cell in table.rows[-1][1:4]] == ["4 images", "", "2 images"]
    # image 0 of an object is a stop sign of 12 px, images 1 and 2 are smaller and of other classes
    assert [cell.text for cell in table.rows[0]] == ["0 stop", *["none", "none", "2"] * 3]
    assert table.rows[0][1].tone == "bad"
    assert table.data is not None
    assert sum(table.data["images"].to_pylist()) == 18


def test_a_geometry_without_padding_does_not_tell_sizes(tmp_path: Path) -> None:
    Padded(SMALL.parts, size_px=12, card=SMALL_CARD).write(tmp_path)
    (tmp_path / "geometry=crop_or_pad").rename(tmp_path / "geometry=resize")
    table = grid(data_section(data(tmp_path, geometry="resize"), "test", shown()).blocks, "objects_by_condition")
    assert table.header == ["class", "dark (below 64)", "medium (64 – 128)", "bright (128 or more)"]
    assert "is not stored with this geometry" in table.caption


def test_unknown_objects_are_said_to_be_unknown(root: Path) -> None:
    subject = shown(groups=None)
    blocks = data_section(data(root), "test", subject).blocks
    assert {row[2].text for row in grid(blocks, "objects_by_class").rows} == {"unknown"}
    cells = [cell for row in grid(blocks, "objects_by_condition").rows for cell in row[1:]]
    assert {cell.text for cell in cells} == {"unknown", "none"}


def test_images_that_are_objects_of_their_own_count_as_objects(root: Path) -> None:
    ids = shown().found["clean"][0].image_ids
    blocks = data_section(data(root), "test", shown(groups=ids)).blocks
    assert [row[2].text for row in grid(blocks, "objects_by_class").rows] == ["6", "6", "6", "18"]


def test_classes_of_few_objects_are_counted(root: Path) -> None:
    one = shown(groups=np.array(["one sign"] * 18))
    assert (
        "3 classes have fewer than 3 objects in test"
        in grid(data_section(data(root), "test", one).blocks, "objects_by_class").caption
    )


def test_recorded_groups_of_other_splits_are_shown_unless_the_card_says_they_are_unknown(tmp_path: Path) -> None:
    SMALL.write(tmp_path)
    path = Cell("crop_or_pad", 12, "clean").folder(tmp_path) / MANIFEST_NAME
    manifest = Manifest.model_validate_json(path.read_text())
    with_groups = manifest.model_copy(update={"groups_per_class": {"train": {0: 2, 1: 2, 2: 2}, "test": {}}})
    path.write_text(with_groups.model_dump_json())
    table = grid(data_section(data(tmp_path), "test", shown()).blocks, "objects_by_class")
    assert [row[1].text for row in table.rows] == ["2", "2", "2", "6"]
    unknown = with_groups.card.model_copy(update={"unknown_groups": ("train",)})
    path.write_text(with_groups.model_copy(update={"card": unknown}).model_dump_json())
    table = grid(data_section(data(tmp_path), "test", shown()).blocks, "objects_by_class")
    assert {row[1].text for row in table.rows} == {"unknown"}


def test_leaks_are_counted_and_those_of_the_evaluated_split_are_marked() -> None:
    across = [["test/00666", "train/14/23_19"], ["train/1/1", "validation/2/2"]]
    source = {"duplicate_groups": 3, "duplicate_images": 6, "duplicates_across_splits": across}
    blocks = leak_blocks(source, "test")
    assert "3 groups of pixel-identical images; 2 of them, 4 images, are in several splits" in prose(blocks)
    table = grid(blocks, "duplicates")
    assert [(row[0].text, row[1].text, row[1].tone) for row in table.rows] == [
        ("test/00666, train/14/23_19", "yes", "bad"), ("train/1/1, validation/2/2", "no", "plain"),
    ]  # fmt: skip
    none = leak_blocks({"duplicate_groups": 1, "duplicate_images": 2, "duplicates_across_splits": []}, "test")
    assert "1 group of pixel-identical images; 0 of them" in prose(none)
    assert len(none) == 1
    assert "is not recorded" in prose(leak_blocks({}, "test"))


def test_long_lists_of_leaks_are_cut_on_the_page_and_whole_in_the_file() -> None:
    across = [[f"test/{n}", f"train/{n}"] for n in range(25)]
    table = grid(leak_blocks({"duplicate_groups": 25, "duplicates_across_splits": across}, "test"), "duplicates")
    assert len(table.rows) == 20
    assert table.caption.endswith("the first 20 of 25")
    assert table.data is not None
    assert table.data.num_rows == 25


def test_origin_licence_and_digests_are_those_of_card_and_manifest(root: Path) -> None:
    one = shown()
    noisy = replace(one.found["clean"][0], variant="gaussian-max", dataset_digest="f" * 64)
    both = one._replace(found={**one.found, "gaussian-max": [noisy]})
    blocks = data_section(data(root), "test", both).blocks
    assert (
        "small: 3 classes; images with 3 channels. What counts as one object: each image is one observation."
        in prose(blocks)
    )
    assert "Licence: none. Cite: none." in prose(blocks)
    table = grid(blocks, "digests")
    assert [row[1].text for row in table.rows] == [("abc" * 20)[:12], "f" * 12]
    assert table.data is not None
    assert table.data["content_digest"].to_pylist() == ["abc" * 20, "f" * 64]
    assert set(table.data["source_digest"].to_pylist()) == {"0"}
