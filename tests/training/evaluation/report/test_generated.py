"""The section on generated images, against predictions computed here from the Parquet files."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
import untrained_gans
from small_attacks import rows
from small_datasets import Small

from training.classifiers.trained import Classifier
from training.evaluation.classifiers.variants import generated_variants, variants_of
from training.evaluation.report.contract import Grid, Picture, Prose
from training.evaluation.report.generated import generated_section
from training.evaluation.report.subjects import Subject
from training.evaluation.robustness.evaluation import EvaluatedModel
from training.streams.stream import Data

SIZE_PX = untrained_gans.SIZE_PX
PARTS: Any = {"train": [[30, 20]], "test": [[8]]}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    root = tmp_path_factory.mktemp("signs")
    Small(PARTS, ("clean", "gaussian-max"), SIZE_PX).write(root)
    generated = {"generated": "0" * 64}
    Small({"train": PARTS["train"]}, ("gan-mine",), SIZE_PX, fingerprint=generated).write(root)
    return Data(root=str(root), size_px=SIZE_PX)


def some_classifier() -> Classifier:
    """One that takes images for several classes."""
    classifier = untrained_gans.classifier()
    with torch.no_grad():
        for parameter in classifier.network.parameters():
            parameter.mul_(3)
    return classifier


def subject(letter: str, model: str) -> Subject:
    return Subject(letter, model, [model], {}, {})


def test_generated_variants_are_told_from_noisy_ones(data: Data) -> None:
    assert generated_variants(data) == ["gan-mine"]
    assert variants_of(data, "test") == ["clean", "gaussian-max"]
    assert generated_variants(data.model_copy(update={"size_px": 9})) == []


def test_the_table_has_the_share_of_images_taken_for_their_classes(data: Data) -> None:
    classifier = some_classifier()
    models = {"one": EvaluatedModel(classifier, None)}
    section = generated_section([subject("A", "one")], models, data, 10_000, CPU)
    assert section is not None
    stored = rows(Path(data.root) / f"geometry=crop_or_pad/size_px={SIZE_PX}/variant=gan-mine", "uint8")
    images = torch.from_numpy(np.stack([row["image"] for row in stored])).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        right = classifier.network(images).argmax(1).numpy() == np.array([row["label"] for row in stored])
    (grid,) = (block for block in section.blocks if isinstance(block, Grid))
    assert grid.data is not None
    (row,) = grid.data.to_pylist()
    assert (row["variant"], row["images"]) == ("gan-mine", 50)
    assert row["recognized"] == pytest.approx(right.mean())
    assert row["low"] <= row["recognized"] <= row["high"]


def test_a_sample_is_shown_with_a_row_for_each_class(data: Data) -> None:
    models = {"one": EvaluatedModel(some_classifier(), None)}
    section = generated_section([subject("A", "one")], models, data, 20, CPU)
    assert section is not None
    (grid,) = (block for block in section.blocks if isinstance(block, Grid))
    assert grid.rows[0][0].note == "20 of 50 images"
    (picture,) = (block for block in section.blocks if isinstance(block, Picture))
    assert picture.name == "generated_gan_mine"
    named = [axis.get_ylabel() for axis in picture.figure.axes if axis.get_ylabel()]
    assert 1 < len(named) <= 8
    assert all("class" in name for name in named)


def test_networks_for_another_size_are_left_out_and_without_variants_there_is_no_section(
    data: Data, tmp_path: Path
) -> None:
    other = cast(Classifier, SimpleNamespace(shape=SimpleNamespace(size_px=99)))
    models = {"one": EvaluatedModel(some_classifier(), None), "other": EvaluatedModel(other, None)}
    subjects = [subject("A", "one"), subject("B", "other")]
    section = generated_section(subjects, models, data, 20, CPU)
    assert section is not None
    (grid,) = (block for block in section.blocks if isinstance(block, Grid))
    assert grid.header == ["variant", "A one"]
    Small(PARTS, ("clean",), SIZE_PX).write(tmp_path)
    assert generated_section(subjects, models, Data(root=str(tmp_path), size_px=SIZE_PX), 20, CPU) is None


def test_a_choice_by_a_classifier_is_told(tmp_path: Path) -> None:
    rule = {"classifier": "ab" * 32, "confidence": 0.9, "tries": 8}
    Small(PARTS, ("clean",), SIZE_PX).write(tmp_path)
    facts = {"generated": "0" * 64, "chosen": rule}
    Small({"train": PARTS["train"]}, ("gan-mine",), SIZE_PX, fingerprint=facts).write(tmp_path)
    path = tmp_path / f"geometry=crop_or_pad/size_px={SIZE_PX}/variant=gan-mine/_manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chosen": {"train": {"drawn": 75, "confident": 40}}}))
    models = {"one": EvaluatedModel(some_classifier(), None)}
    section = generated_section([subject("A", "one")], models, Data(root=str(tmp_path), size_px=SIZE_PX), 20, CPU)
    assert section is not None
    said = " ".join(item for block in section.blocks if isinstance(block, Prose) for item in block.items)
    assert "gives 40 of 50 images at least 0.9 for their class, after 1.50 draws an image and at most 8" in said
