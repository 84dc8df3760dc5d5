"""Wrong bfloat16 is detected, with layers that have the errors of real processors."""

import platform
from pathlib import Path

import pytest
import torch
from small_gans import gan_recipe
from small_runs import recipe, write_dataset
from torch import nn
from torch.nn import functional

from pipelines.errors import SettingsError
from training.classifiers.run import train_classifier
from training.gans import GANS, GanArchitecture
from training.gans.adversarial import Adversarial
from training.gans.convolutions import halved
from training.gans.dcgan import Dcgan
from training.gans.run import Outside, train_gan
from training.loop.bfloat16_check import check_bfloat16
from training.loop.ranks import Ranks, keep_freed_memory
from training.loop.tracked_training import Command
from training.models.baseline_cnn import BaselineCnn

ROUGH = Ranks(torch.device("cpu"), dtype=torch.bfloat16)
IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class NotANumber(nn.Linear):
    def forward(self, given: torch.Tensor) -> torch.Tensor:
        output = super().forward(given)
        return output * torch.nan if output.dtype == torch.bfloat16 else output


class Imprecise(nn.Linear):
    def forward(self, given: torch.Tensor) -> torch.Tensor:
        output = super().forward(given)
        return output * 1.3 if output.dtype == torch.bfloat16 else output


class Unwritten(torch.autograd.Function):
    """The identity, whose bfloat16 gradient is the sign of uninitialized memory."""

    @staticmethod
    def forward(_: object, given: torch.Tensor) -> torch.Tensor:
        return given.clone()

    @staticmethod
    def backward(_: object, gradient: torch.Tensor) -> torch.Tensor:
        if gradient.dtype != torch.bfloat16:
            return gradient
        return torch.where(torch.empty_like(gradient).nan_to_num(0.5) > 0.75, gradient, gradient * 0.99)


class DependsOnMemory(nn.Linear):
    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return Unwritten.apply(super().forward(given))


@pytest.fixture(autouse=True)
def kept_memory() -> None:
    keep_freed_memory()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (NotANumber, "its output is NaN or infinite"),
        (Imprecise, "its output is 30% away from float32's"),
        pytest.param(
            DependsOnMemory,
            "its input's gradient depends on what was in memory before",
            marks=pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="keeping freed memory needs glibc"),
        ),
    ],
)
def test_wrong_bfloat16_never_trains_silently(layer: type[nn.Linear], message: str) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), layer(64, 5000))
    with pytest.raises(SettingsError, match=rf"precision=bfloat16: .* computes {layer.__name__}\(.* incorrectly"):
        check_bfloat16(ROUGH, network, IMAGES)
    with pytest.raises(SettingsError, match=f"{message}; use precision=float32"):
        check_bfloat16(ROUGH, network, IMAGES)
    check_bfloat16(Ranks(torch.device("cpu")), network, IMAGES)
    check_bfloat16(Ranks(torch.device("cuda"), dtype=torch.bfloat16), network, IMAGES)


@pytest.mark.parametrize(
    "gan",
    [GANS["dcgan"](channels=4, spectral_norm=True), Adversarial(eps=0.1), GANS["wgan_gp"]()],
    ids=lambda gan: gan.kind,
)
def test_the_projects_networks_are_right_on_this_processor_and_unchanged(gan: GanArchitecture) -> None:
    """The critic of wgan_gp reduces images to 1 × 1."""
    labels = torch.zeros(4, dtype=torch.int64)
    latent = torch.rand(4, *gan.latent.shape(8), generator=torch.Generator().manual_seed(1))
    players = gan.build(8, 43, seed=0)
    cnn = BaselineCnn(dropout=0.5).layers(8, 43, 3)
    before = torch.get_rng_state()
    for network, inputs in (
        (cnn, (IMAGES,)), (players.generator, (latent, labels)), (players.discriminator, (IMAGES, labels))
    ):  # fmt: skip
        state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        check_bfloat16(ROUGH, network, *inputs)
        assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_training_starts_with_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no difference from float32 is allowed, the check fails and nothing is written."""
    write_dataset(tmp_path)
    monkeypatch.setattr("training.loop.bfloat16_check.MAX_ERROR", 0.0)
    command = Command("python jobs/train.py", {})
    with pytest.raises(SettingsError, match=r"computes Conv2d\(3, 16.* on \(16, 3, 8, 8\) incorrectly"):
        train_classifier(recipe(tmp_path, precision="bfloat16"), command)
    with pytest.raises(SettingsError, match=r"computes Linear\(.* on \(16, \d+\) incorrectly"):
        train_gan(gan_recipe(tmp_path, Dcgan(channels=4), precision="bfloat16"), command, Outside())
    assert not (tmp_path / "runs").exists()


def test_of_1_by_1_images_every_stride_makes_the_same_but_only_stride_1_is_used() -> None:
    """oneDNN's bfloat16 gradient of the weights is wrong with stride 2 there, and right with stride 1."""
    layer = halved(1, 6, 10)
    assert layer.stride == (1, 1)
    assert halved(2, 6, 10).stride == halved(3, 6, 10).stride == (2, 2)
    images = torch.rand(5, 6, 1, 1, dtype=torch.float64)
    layer.double()
    with_stride_2 = functional.conv2d(images, layer.weight, layer.bias, stride=2, padding=1)
    torch.testing.assert_close(layer(images), with_stride_2, rtol=0, atol=1e-12)
    ours = torch.autograd.grad(layer(images).square().sum(), layer.weight)[0]
    torch.testing.assert_close(ours, torch.autograd.grad(with_stride_2.square().sum(), layer.weight)[0])
