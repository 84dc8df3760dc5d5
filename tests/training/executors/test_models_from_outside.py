"""The code of a task with a model from outside, without Spark."""

from pathlib import Path

import foreign_models
import numpy as np
import pytest
import torch
from rich.console import Console
from small_attacks import SIZE_PX, classifier, write_signs

from pipelines.store.image_batches import SourceImages
from training.classifiers.opening import open_models, stored
from training.executors.shipped import ShippedAttack, ShippedClassifier

CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
"""Those of the exporters."""


@pytest.fixture(scope="module", params=["factory", "pt2", "onnx"])
def shipped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a model that computes the same as small_attacks.classifier()."""
    folder = tmp_path_factory.mktemp(request.param)
    write_signs(folder / "signs")
    if request.param == "factory":
        reference = "foreign_models:ours"
    else:
        write = foreign_models.write_pt2 if request.param == "pt2" else foreign_models.write_onnx
        reference = str(write(folder / f"theirs.{request.param}", foreign_models.ours()))
    (model,) = open_models([reference], CPU, stored(str(folder / "signs"), "crop_or_pad", None), Console(quiet=True))
    path = folder / f"{request.param}{model.classifier.suffix}"
    model.classifier.write(path)
    return path


def source(count: int = 5) -> SourceImages:
    pixels = np.random.default_rng(3).integers(0, 256, (count, SIZE_PX, SIZE_PX, 3), np.uint8)
    ids = [f"test/{row:05d}" for row in range(count)]
    return SourceImages(ids, np.arange(count, dtype=np.int32), ids, pixels)


def predicted(pixels: np.ndarray) -> list[int]:
    shown = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    classes: list[int] = classifier().network(shown if shown.is_floating_point() else shown / 255).argmax(1).tolist()
    return classes


def test_scores_are_those_of_the_network(shipped: Path) -> None:
    scores = ShippedClassifier(shipped.name, 2)(shipped.parent, torch.get_num_threads(), None)(source().pixels)
    assert scores.predictions.tolist() == predicted(source().pixels)


@pytest.mark.parametrize("kind", ["square", "fgsm"])
def test_attacked_images_are_predicted_as_the_network_does(shipped: Path, kind: str) -> None:
    """FGSM's are those of an attack on the original network, value by value."""
    if kind == "fgsm" and shipped.stem == "onnx":
        pytest.skip("has no gradients")
    attack = {"kind": "square", "queries": 4} if kind == "square" else {"kind": "fgsm"}
    step = ShippedAttack(shipped.name, attack, {"a": {"eps": 0.1}}, 0, 3)
    (made,) = step(shipped.parent, torch.get_num_threads(), None)(source())
    assert made.prediction_before.tolist() == predicted(source().pixels)
    assert made.prediction_after.tolist() == predicted(made.pixels)
    if kind == "fgsm":
        classifier().write(shipped.parent / "ours.pt")
        ours = ShippedAttack("ours.pt", attack, {"a": {"eps": 0.1}}, 0, 3)
        (expected,) = ours(shipped.parent, torch.get_num_threads(), None)(source())
        np.testing.assert_allclose(made.pixels, expected.pixels, atol=1e-6)
