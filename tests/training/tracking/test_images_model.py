"""A logged model as MLflow's python_function, in a process without this project."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import pyfunc, pytorch
from mlflow.models import Model, get_model_info
from torch import nn

from pipelines.geometry import GEOMETRIES, Roi
from training.models.baseline_cnn import BaselineCnn
from training.tracking.images_model import ImagesModel
from training.tracking.saving import save_model

NAMES = [f"class {label}" for label in range(43)]
SCRIPT = """
import sys, numpy, mlflow.pyfunc
model = mlflow.pyfunc.load_model(sys.argv[1])
print(model.predict(numpy.load(sys.argv[2])).to_json(orient="records"))
assert "training" not in sys.modules and "pipelines" not in sys.modules
"""


def network(channels: int = 3) -> nn.Sequential:
    return BaselineCnn().build(28, 43, (0.5,) * channels, (0.3,) * channels, 0).eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    images = torch.rand((2, 3, 28, 28), generator=torch.Generator().manual_seed(0))
    save_model(network(), images, folder, NAMES, "crop_or_pad")
    return folder


@pytest.mark.parametrize("shape", [(3, 53, 47, 3), (1, 20, 60, 3)])
def test_images_of_any_size_get_names_and_probabilities(saved: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    found = pyfunc.load_model(str(saved)).predict(images)
    roi = Roi(0, 0, shape[2] - 1, shape[1] - 1)
    square = np.stack([GEOMETRIES["crop_or_pad"]()(image, roi, 28) for image in images])
    with torch.inference_mode():
        expected = network()(torch.from_numpy(square).permute(0, 3, 1, 2) / 255).softmax(1).max(1)
    assert list(found.class_name) == [NAMES[label] for label in expected.indices.tolist()]
    np.testing.assert_allclose(found.probability, expected.values.numpy(), atol=1e-5)


def test_it_loads_without_this_project_and_pytorch_loads_the_network(saved: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 40, 40, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-P", "-c", SCRIPT, str(saved), str(tmp_path / "images.npy")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"class_name":"class ' in done.stdout
    floats = torch.rand(5, 3, 28, 28)
    torch.testing.assert_close(pytorch.load_model(str(saved))(floats), network()(floats))


def test_the_signature_and_the_example_are_those_of_images(saved: Path) -> None:
    info = get_model_info(str(saved))
    assert str(info.signature.inputs) == "[Tensor('uint8', (-1, -1, -1, 3))]"
    example = Model.load(str(saved)).load_input_example(str(saved))
    assert example.dtype == np.uint8 and example.shape == (2, 28, 28, 3)
    assert len(pyfunc.load_model(str(saved)).predict(example)) == 2


@pytest.mark.parametrize("kind", ["crop_or_pad", "resize", "roi_resize"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(53, 47), (21, 60), (28, 28), (9, 8)])
def test_its_geometry_is_that_of_the_training_images(kind: str, channels: int, height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    expected = GEOMETRIES[kind]()(image, Roi(0, 0, width - 1, height - 1), 28)
    assert np.array_equal(ImagesModel(nn.Identity(), kind, 28, [])._square(image), expected)
