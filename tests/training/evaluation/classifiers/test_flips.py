from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_datasets import Small

from training.evaluation.classifiers.flips import Flip, find_flips, images_by_id
from training.evaluation.classifiers.predicting import EvaluationError, Predictions
from training.streams.stream import Data


def predicted(classes: Sequence[int], confidences: Sequence[float], ids: str = "abcdef") -> Predictions:
    """Of images with the labels 0, 0, 1, 1, 2, 2."""
    probabilities = np.zeros((6, 3), np.float32)
    probabilities[np.arange(6), classes] = confidences
    return Predictions(np.array(list(ids)), np.array([0, 0, 1, 1, 2, 2]), np.array(classes), probabilities, "0")


def test_flips_are_right_before_and_wrong_after_sorted_by_confidence_per_class() -> None:
    before = predicted([0, 0, 1, 1, 2, 0], [0.5, 0.75, 0.625, 0.625, 0.875, 1.0])
    after = predicted([1, 2, 0, 2, 2, 0], [0.5, 0.5, 0.25, 0.5, 0.5, 1.0])
    assert find_flips(before, after) == [Flip("b", 0, 0.75, 2, 0.5), Flip("c", 1, 0.625, 0, 0.25)]
    assert find_flips(before, after, most=1) == [Flip("b", 0, 0.75, 2, 0.5)]
    assert find_flips(before, before) == []


def test_variants_of_other_images_are_not_compared() -> None:
    values = [0] * 6, [1.0] * 6
    noisy = replace(predicted(*values, ids="abcdeg"), variant="gaussian-max")
    with pytest.raises(EvaluationError, match="clean has images that gaussian-max does not have"):
        find_flips(predicted(*values), noisy)


def test_flips_of_a_subset_concern_only_the_subset() -> None:
    before, after = predicted([0, 0, 1, 1, 2, 2], [1.0] * 6), predicted([1, 2, 0, 2, 0, 1], [0.5] * 6)
    flips = find_flips(before, after.at(np.array(["b", "c", "f"])))
    assert [(flip.image_id, flip.label, flip.predicted) for flip in flips] == [("b", 0, 2), ("c", 1, 0), ("f", 2, 1)]


def test_images_are_found_by_their_ids(tmp_path: Path) -> None:
    small = Small({"test": [[5, 3], [4]]}, ("clean", "gaussian-max"), size_px=8)
    data = Data(root=str(small.write(tmp_path)), size_px=8)
    wanted = ["test/00011", "test/00002"]
    found = images_by_id(data, "test", "gaussian-max", wanted)
    assert sorted(found) == sorted(wanted)
    for image_id, image in found.items():
        np.testing.assert_array_equal(image, small.image("gaussian-max", image_id))
    assert images_by_id(data, "test", "clean", []) == {}
    with pytest.raises(EvaluationError, match=r"clean: split test has no image test/00012"):
        images_by_id(data, "test", "clean", ["test/00012"])
