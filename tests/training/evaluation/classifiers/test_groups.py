"""Which images show one object, from the rows of a dataset to the predictions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from attacked_predictions import write_attacked
from small_datasets import CARD, Small, Tracks

from pipelines.datasets.gtsrb_card import GTSRB_CARD, SYNTHETIC_SIGNS_CARD
from training.classifiers.trained import Classifier, Shape
from training.evaluation.classifiers.predicting import Predictions, predict
from training.models.baseline_cnn import BaselineCnn
from training.streams.stream import Data

SMALL = Tracks({"test": [[5, 5, 2], [5, 4]], "validation": [[3]]}, ("clean", "gaussian-max"), size_px=8)


def predictions(root: Path, variant: str, split: Any = "test") -> Predictions:
    shape = Shape(8, 43, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
    model = BaselineCnn(dropout=0.5)
    classifier = Classifier(shape.build(model, 0), model, shape)
    data = Data(root=str(root), size_px=8)
    return predict({"cnn": classifier}, data, split, [variant], torch.device("cpu"), 7)["cnn", variant]


@pytest.mark.parametrize("variant", ["clean", "gaussian-max"])
def test_each_image_has_the_group_of_its_row(tmp_path: Path, variant: str) -> None:
    found = predictions(SMALL.write(tmp_path), variant)
    assert found.groups is not None and not found.recovered
    expected = [f"track {int(image_id[-5:]) // 3}" for image_id in found.image_ids]
    assert found.groups.tolist() == expected
    some = found.at(found.image_ids[4:9])
    assert some.groups is not None and some.groups.tolist() == expected[4:9]


def test_groups_stay_unknown_if_the_card_says_so(tmp_path: Path) -> None:
    card = CARD.model_copy(update={"unknown_groups": ("test",)})
    root = replace(SMALL, card=card).write(tmp_path)
    assert predictions(root, "clean").groups is None
    assert predictions(root, "clean", "validation").groups is not None


def test_groups_are_unknown_if_an_old_card_of_gtsrb_does_not_say_so(tmp_path: Path) -> None:
    card = GTSRB_CARD.model_copy(update={"unknown_groups": ()})
    root = Small({"test": [[5]], "validation": [[5]]}, size_px=8, card=card).write(tmp_path)
    assert predictions(root, "clean").groups is None
    assert predictions(root, "clean", "validation").groups is not None


def test_each_drawn_test_image_is_a_sign_of_its_own(tmp_path: Path) -> None:
    card = SYNTHETIC_SIGNS_CARD.model_copy(update={"expected_groups": 430})
    found = predictions(Small({"test": [[5]]}, size_px=8, card=card).write(tmp_path), "clean")
    assert found.groups is not None and found.groups.tolist() == found.image_ids.tolist()
    assert found.units.unit == "image"


def test_adversarial_images_have_the_groups_of_their_rows(tmp_path: Path) -> None:
    root = SMALL.write(tmp_path)
    write_attacked(SMALL, root, "fgsm-snr33", 64 * "a", {"snr_db": 33.0})
    found = predictions(root, "fgsm-snr33")
    assert found.groups is not None and found.groups.tolist() == found.image_ids.tolist()
    assert found.attack is not None and found.attack.snr_db.tolist() == [20 + number for number in range(12)]
