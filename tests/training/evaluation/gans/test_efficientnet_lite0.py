from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.nn.functional import batch_norm, conv2d, pad
from torchvision.models._meta import _IMAGENET_CATEGORIES

import training.evaluation.gans.efficientnet_lite0 as module
from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.gans.efficientnet_lite0 import EfficientnetLite0Features

CPU = torch.device("cpu")


def test_it_recognizes_photographs_of_a_palace_and_of_a_flower() -> None:
    """scikit-learn's two, which nothing but the right network with the right input gets right."""
    photographs = [
        np.asarray(Image.fromarray(each[:, 100:527]).resize((224, 224))) for each in load_sample_images().images
    ]
    images = torch.from_numpy(np.stack(photographs)).permute(0, 3, 1, 2)
    found = EfficientnetLite0Features(CPU)(images, batch_size=1)
    assert found.values.shape == (2, 1280)
    assert [_IMAGENET_CATEGORIES[place] for place in found.predicted] == ["palace", "daisy"]


def test_its_first_block_is_that_of_tensorflows_padding_by_hand() -> None:
    network = EfficientnetLite0Features(CPU)._network
    weights = network.state_dict()
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def normed(given: torch.Tensor, name: str) -> torch.Tensor:
        of_layer = [weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return batch_norm(given, *of_layer, eps=1e-3)

    stem = normed(conv2d(pad(images, (0, 1, 0, 1)), weights["_conv_stem.weight"], stride=2), "_bn0").clamp(0, 6)
    assert stem.shape == (2, 32, 8, 8)
    deep = conv2d(stem, weights["_blocks.0._depthwise_conv.weight"], padding=1, groups=32)
    narrow = conv2d(normed(deep, "_blocks.0._bn1").clamp(0, 6), weights["_blocks.0._project_conv.weight"])
    expected = normed(narrow, "_blocks.0._bn2")
    with torch.inference_mode():
        found = network._blocks[0](torch.nn.functional.relu6(network._bn0(network._conv_stem(images))))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_missing_or_different_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "PACKAGE", "efficientnet_that_is_not_installed")
    with pytest.raises(EvaluationError, match="its weights are not installed; type uv sync --extra features"):
        EfficientnetLite0Features(CPU)
    package = tmp_path / "with_other_weights"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / "weights.pth").write_bytes(b"a pickle that nobody should load")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "PACKAGE", package.name)
    with pytest.raises(EvaluationError, match="with_other_weights does not have the known weights"):
        EfficientnetLite0Features(CPU)
