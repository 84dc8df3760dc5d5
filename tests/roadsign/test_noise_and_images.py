"""Noise on single images is that of the datasets; a DataLoader gets each image once."""

from collections import Counter

import numpy as np
import pytest
import torch
from small_datasets import Small
from torch import nn
from torch.utils.data import DataLoader

import roadsign
from pipelines.errors import SettingsError
from pipelines.noise import generator
from pipelines.noise.gaussian import Gaussian
from pipelines.noise.periodic import Periodic
from training.attacks import AttackError

GREY = np.full((30, 20), 128, np.uint8)


def test_noise_is_that_of_the_image_in_a_dataset() -> None:
    image = np.random.default_rng(0).integers(0, 256, (31, 23, 3), np.uint8)
    found = roadsign.corrupt(image, "gaussian", std_grey=25, seed=7, image_id="test/00001")
    assert np.array_equal(found, Gaussian(std_grey=25)(image, generator(7, "gaussian", "test/00001")))


def test_the_amplitude_alone_is_in_grey_levels() -> None:
    noisy = roadsign.corrupt(GREY, "periodic", amplitude_grey=30, seed=1)
    assert noisy.shape == GREY.shape and noisy.dtype == np.uint8
    assert abs(int(noisy.max()) - 128 - 30 * 2**0.5) < 1.5
    assert Periodic().amplitude == 1.0


@pytest.mark.parametrize(
    ("noise", "settings", "told"),
    [
        ("gausian", {}, "gausian: expected one of gaussian, periodic"),
        ("gaussian", {"std": 3}, "gaussian: std_grey: missing"),
        ("gaussian", {"std_grey": -1}, "std_grey: must be at least 0"),
    ],
)
def test_wrong_noise_is_named(noise: str, settings: dict[str, float], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        roadsign.corrupt(GREY, noise, **settings)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    parts = {"train": [[40, 30], [24]], "validation": [[20]], "test": [[50]]}
    return str(Small(parts, ("clean", "gaussian-max"), size_px=8).write(tmp_path_factory.mktemp("signs")))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gets_each_image_once(root: str, workers: int) -> None:
    images = roadsign.SignImages(root, {"clean": 0.5, "gaussian-max": 0.5})
    batches = list(DataLoader(images, batch_size=16, num_workers=workers))
    labels = torch.cat([labels for _, labels in batches])
    assert Counter(labels.tolist()) == Counter(number % 43 for number in range(94))
    assert len(images) == 94
    assert all(batch.dtype == torch.float32 and batch.shape[1:] == (3, 8, 8) for batch, _ in batches)


def test_the_order_is_that_of_the_epoch(root: str) -> None:
    images = roadsign.SignImages(root)
    first, again = [[label for _, label in images] for _ in range(2)]
    images.epoch = 1
    assert first == again != [label for _, label in images]


class Mean(nn.Module):
    """43 logits, so that dark images are class 0 and bright ones class 42."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.arange(43.0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images.mean((1, 2, 3))[:, None] - 0.5) * self.scale


def test_any_module_is_evaluated_and_stays_as_it_was(root: str) -> None:
    module = Mean().train()
    table = roadsign.evaluate(module, root, device="cpu")
    rows = table[table.metric == "accuracy"]
    assert set(rows.noise) == {"none", "gaussian"} and set(rows.model) == {"Mean"}
    assert module.training and module.scale.requires_grad


def test_any_module_is_attacked_at_the_ratio() -> None:
    images, labels = (
        torch.rand(5, 3, 8, 8, generator=torch.manual_seed(0)) * 0.5 + 0.25,
        torch.zeros(5, dtype=torch.int64),
    )
    attacked = roadsign.attack(Mean().eval(), images, labels, "fgsm", snr_db=33)
    torch.testing.assert_close(attacked.snr_db, torch.full((5,), 33.0, dtype=torch.float64), atol=0.01, rtol=0)
    assert roadsign.attack(Mean().eval(), (images * 255).to(torch.uint8), labels, "pgd", eps=0.03, steps=2).images.shape
    with pytest.raises(AttackError, match=r"call network.eval\(\)"):
        roadsign.attack(Mean().train(), images, labels, "fgsm", snr_db=33)
    with pytest.raises(SettingsError, match="fgsm: give one strength"):
        roadsign.attack(Mean().eval(), images, labels, "fgsm")
    with pytest.raises(SettingsError, match="expected one of fgsm, pgd"):
        roadsign.attack(Mean().eval(), images, labels, "fgms", snr_db=33)
