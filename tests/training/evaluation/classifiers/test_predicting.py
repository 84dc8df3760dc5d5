"""Predictions: each image once, in one order, whatever the batches are and whoever else is shown the images."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from attacked_predictions import write_attacked
from small_datasets import Small
from torch import nn

from pipelines.errors import StreamError
from training.classifiers.trained import Classifier, Shape
from training.evaluation.classifiers.predicting import EvaluationError, Predictions, predict
from training.models.baseline_cnn import BaselineCnn
from training.streams.stream import Data

CPU = torch.device("cpu")
VARIANTS = ("clean", "gaussian-max")
SMALL = Small({"test": [[5, 5, 2], [5, 4]], "validation": [[3]]}, VARIANTS, size_px=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Data(root=str(SMALL.write(tmp_path_factory.mktemp("small"))), size_px=8)


def untrained(seed: int = 0, size_px: int = 8, num_classes: int = 43) -> Classifier:
    shape = Shape(size_px, num_classes, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
    model = BaselineCnn(dropout=0.5)
    return Classifier(shape.build(model, seed), model, shape)


def on_clean(data: Data, classifier: Classifier, batch_size: int = 512, variant: str = "clean") -> Predictions:
    return predict({"cnn": classifier}, data, "test", [variant], CPU, batch_size)["cnn", variant]


def test_predictions_are_those_of_the_network_on_the_images_one_by_one(data: Data) -> None:
    classifier = untrained()
    found = on_clean(data, classifier, batch_size=4)
    assert found.image_ids.tolist() == [f"test/{number:05d}" for number in range(21)]
    assert found.labels.tolist() == list(range(21))
    for image_id, predicted, probabilities in zip(found.image_ids, found.predicted, found.probabilities, strict=True):
        pixels = torch.from_numpy(SMALL.image("clean", str(image_id))).permute(2, 0, 1)[None] / 255
        expected = classifier.network.eval()(pixels).softmax(dim=1)[0].detach()
        assert predicted == int(expected.argmax())
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert found.probabilities.dtype == np.float32
    np.testing.assert_array_equal(found.confidences, found.probabilities.max(axis=1))


@pytest.mark.parametrize("batch_size", [1, 4, 20, 21, 64])
def test_the_batch_size_changes_nothing_and_padding_is_not_counted(data: Data, batch_size: int) -> None:
    one, other = (on_clean(data, untrained(), size) for size in (batch_size, 7))
    assert len(one.labels) == 21
    assert one.image_ids.tolist() == other.image_ids.tolist()
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)


def test_several_models_share_one_pass_and_predict_as_if_alone(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    import training.evaluation.classifiers.predicting as module

    opened: list[Any] = []
    original = module.open_stream
    monkeypatch.setattr(module, "open_stream", lambda *args, **kw: opened.append(args) or original(*args, **kw))
    models = {"a": untrained(0), "b": untrained(1)}
    together = predict(models, data, "test", VARIANTS, CPU, 8)
    assert [list(args[0].mixture) for args in opened] == [["clean"], ["gaussian-max"]]
    assert set(together) == {(name, variant) for name in models for variant in VARIANTS}
    for name, classifier in models.items():
        for variant in VARIANTS:
            alone = on_clean(data, classifier, 8, variant)
            np.testing.assert_array_equal(together[name, variant].probabilities, alone.probabilities)
            assert together[name, variant].dataset_digest == alone.dataset_digest
    assert together["a", "clean"].dataset_digest != together["a", "gaussian-max"].dataset_digest
    assert not np.array_equal(together["a", "clean"].probabilities, together["b", "clean"].probabilities)


def test_a_model_for_another_size_or_with_too_few_classes_is_refused(data: Data) -> None:
    with pytest.raises(EvaluationError, match=r"cnn is for images of 16 px, not of 8 px; .* data.size_px=16"):
        on_clean(data, untrained(size_px=16))
    with pytest.raises(EvaluationError, match=r"cnn has 10 classes, but small has 43; choose a model"):
        on_clean(data, untrained(num_classes=10))


def test_logits_that_are_not_finite_raise_an_error_that_names_the_images(data: Data) -> None:
    classifier = untrained()
    with torch.no_grad():
        next(layer for layer in classifier.network.modules() if isinstance(layer, nn.Linear)).bias[0] = torch.nan
    with pytest.raises(EvaluationError, match=r"cnn gives logits that are not finite for test/\d+.* of clean; .*lr"):
        on_clean(data, classifier)


def test_pixels_that_are_not_finite_raise_an_error_that_names_the_image(tmp_path: Path) -> None:
    class Damaged(Small):
        def image(self, variant: str, image_id: str) -> np.ndarray[Any, Any]:
            pixels = super().image(variant, image_id)
            return pixels * np.float32(np.inf) if image_id == "test/00003" else pixels

    root = Damaged({"test": [[6]]}, size_px=8, pixel_dtype="float32").write(tmp_path)
    with pytest.raises(StreamError, match=r"image test/00003 has pixels that are not finite or not in \[0, 1\]"):
        on_clean(Data(root=str(root), size_px=8), untrained(), batch_size=2)


def test_float_images_give_what_the_same_bytes_give(data: Data, tmp_path: Path) -> None:
    floats = replace(SMALL, pixel_dtype="float32").write(tmp_path)
    found = on_clean(Data(root=str(floats), size_px=8), untrained())
    np.testing.assert_allclose(found.probabilities, on_clean(data, untrained()).probabilities, atol=1e-6)


def test_the_stream_names_missing_variants(data: Data, tmp_path: Path) -> None:
    with pytest.raises(StreamError, match=r"not a dataset, .*: spark-submit jobs/make_noisy_datasets.py"):
        on_clean(Data(root=str(tmp_path), size_px=8), untrained())
    with pytest.raises(StreamError, match=r"split train has no images; splits with images: test, validation"):
        predict({"cnn": untrained()}, data, "train", ["clean"], CPU)


def test_labels_come_from_the_files(data: Data) -> None:
    folder = Path(data.root) / "geometry=crop_or_pad/size_px=8/variant=clean/split=validation"
    rows = pq.read_table(folder).to_pylist()
    found = predict({"cnn": untrained()}, data, "validation", ["clean"], CPU)["cnn", "clean"]
    assert dict(zip(found.image_ids, found.labels, strict=True)) == {row["image_id"]: row["label"] for row in rows}


def test_randomness_of_a_network_is_detected_on_adversarial_images(tmp_path: Path) -> None:
    class Unsteady(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.network(images)
            return logits + torch.rand_like(logits)

    root = SMALL.write(tmp_path)
    write_attacked(SMALL, root, "fgsm-snr33", 64 * "a", {"snr_db": 33.0})
    steady = untrained()
    models = {"steady": steady, "random": replace(steady, network=Unsteady(steady.network))}
    found = predict(models, Data(root=str(root), size_px=8), "test", ["clean", "fgsm-snr33"], CPU)
    unsteady = [place for place, predictions in found.items() if not predictions.steady]
    assert unsteady == [("random", "fgsm-snr33")]
