"""The synthetic signs are worth training on: a small CNN learns them, and noise makes them hard."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.datasets import FileReader, Location, SyntheticSigns, decode
from pipelines.geometry import GEOMETRIES, Roi
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.render.rendering import Original, Rendering
from pipelines.settings import load

pytestmark = pytest.mark.slow

SIZE_PX = 40


def baseline_cnn() -> nn.Sequential:
    """The layers of the paper's Figure 8."""
    layers: list[nn.Module] = []
    for channels_in, channels in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(channels_in, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 43))


def tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    images = torch.from_numpy(pixels.reshape(-1, SIZE_PX, SIZE_PX, 3).copy())
    return images.permute(0, 3, 1, 2).float() / 255 - 0.4


def test_a_small_cnn_learns_synthetic_signs_and_fails_under_noise(tmp_path: Path, repository: Path) -> None:
    signs = SyntheticSigns(root=tmp_path / "signs", tracks_per_class=20)
    settings = load(NoisyDatasets, repository / "conf" / "make_noisy_datasets.yaml")
    rendering = Rendering(GEOMETRIES["roi_resize"](), (SIZE_PX,), settings.chosen, settings.seed)
    images: dict[str, dict[str, NDArray[np.uint8]]] = {}
    labels: dict[str, torch.Tensor] = {}
    with FileReader() as reader:
        listing = signs.listing()
        for split in ("train", "test"):
            chosen = [image for image in listing.images if image.split == split]
            originals = [
                Original(image.image_id, decode(reader.read(Location(image.archive, image.path))), Roi(*image[-4:]))
                for image in chosen
            ]
            images[split] = {block.variant: block.pixels for block in rendering.cell_rows(originals)}
            labels[split] = torch.tensor([image.label for image in chosen])
    generator = torch.Generator().manual_seed(0)
    network = baseline_cnn()
    with torch.no_grad():
        for parameter in network.parameters():
            bound = (3 / parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 0.0
            parameter.uniform_(-bound, bound, generator=generator)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    train = tensor(images["train"]["clean"])
    for _ in range(8):
        for rows in torch.randperm(len(train), generator=generator).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(train[rows]), labels["train"][rows]).backward()
            optimizer.step()
    with torch.no_grad():
        accuracy = {
            variant: (network(tensor(pixels)).argmax(1) == labels["test"]).float().mean().item()
            for variant, pixels in images["test"].items()
        }
    # 0.73, 0.61 and 0.34 when this was written
    assert accuracy["clean"] > 0.7, accuracy
    assert accuracy["gaussian-max"] < accuracy["clean"] - 0.07, accuracy
    assert accuracy["periodic-max"] < accuracy["clean"] - 0.25, accuracy
