import copy

import numpy as np
import pytest
import torch
import torchattacks
from attacked_networks import (
    MEAN,
    STD,
    disc_examples,
    examples_of,
    grey_examples,
    in_float64,
    linear,
    small_cnn,
    weights,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from training.attacks import AttackError, Eps, LabelledImages, SnrDb
from training.attacks.fgsm import Fgsm
from training.models import MODELS, Normalize


def test_on_a_binary_linear_network_it_is_the_sign_of_the_weights_difference() -> None:
    network = linear(2)
    examples = grey_examples(network, 10)
    rows = weights(network)
    (found,) = Fgsm()(network, examples, [Eps(0.03)])
    for image, attacked, label in zip(examples.images, found.images, examples.labels.tolist(), strict=True):
        expected = image.double().numpy().ravel() + 0.03 * np.sign(rows[1 - label] - rows[label])
        np.testing.assert_allclose(attacked.double().numpy().ravel(), expected, atol=1e-6)


def test_in_l2_it_goes_along_the_weights_difference() -> None:
    network = linear(2)
    examples = grey_examples(network, 10)
    (found,) = Fgsm(norm="l2")(network, examples, [Eps(0.3)])
    difference = (weights(network)[1 - examples.labels] - weights(network)[examples.labels]).reshape(-1, 3, 6, 6)
    length = np.linalg.norm(difference.reshape(10, -1), axis=1)[:, None, None, None]
    expected = examples.images.double().numpy() + 0.3 * difference / length
    np.testing.assert_allclose(found.images.double().numpy(), expected, atol=1e-6)


def test_it_equals_torchattacks() -> None:
    """In float64: in float32 the sign of a gradient of nearly zero is another one on another processor."""
    network, examples = copy.deepcopy(small_cnn()).double(), in_float64(disc_examples(100))
    found = Fgsm().perturb(network, examples, torch.full((100,), 8 / 255, dtype=torch.float64))
    expected = torchattacks.FGSM(network, eps=8 / 255)(examples.images, examples.labels)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


@settings(max_examples=12, deadline=None)
@given(
    size_px=st.sampled_from([28, 40, 50, 75]), snr_db=st.floats(20, 60), seed=st.integers(0, 99),
    black_rows=st.integers(0, 20),
)  # fmt: skip
def test_the_ratio_asked_for_is_reached_at_every_size(size_px: int, snr_db: float, seed: int, black_rows: int) -> None:
    drawn = torch.Generator().manual_seed(seed)
    images = torch.rand(3, 3, size_px, size_px, generator=drawn)
    images[:, :, :black_rows] = 0
    network = MODELS["baseline_cnn"]().build(size_px, 43, MEAN, STD, seed).eval()
    examples = examples_of(images, torch.randint(0, 43, (3,), generator=drawn))
    (found,) = Fgsm()(network, examples, [SnrDb(snr_db)])
    assert (found.snr_db_before_clamp - snr_db).abs().max() <= 0.01
    assert (found.snr_db >= found.snr_db_before_clamp - 1e-6).all()
    assert found.images.min() >= 0 and found.images.max() <= 1


class LeftHalf(nn.Module):
    """A linear network that ignores the right half of the image."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.inside = linear(3, size_px=8)
        self.columns = columns

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.inside(images * (torch.arange(8) < self.columns))
        return logits


def test_the_ratio_is_reached_where_the_network_is_blind_in_part() -> None:
    network = LeftHalf(columns=2).eval()
    examples = grey_examples(linear(3, size_px=8), 5, size_px=8)
    (found,) = Fgsm()(network, examples, [SnrDb(33)])
    assert (found.snr_db_before_clamp - 33).abs().max() <= 0.01
    changed = found.images != examples.images
    assert changed[..., :2].all() and not changed[..., 2:].any()


def test_images_without_a_gradient_and_black_images_are_unchanged() -> None:
    examples = grey_examples(linear(3, size_px=8), 3, size_px=8)
    (blind,) = Fgsm()(LeftHalf(columns=0).eval(), examples, [SnrDb(33)])
    assert torch.equal(blind.images, examples.images)
    assert (blind.snr_db_before_clamp == torch.inf).all() and blind.kept.all()
    examples.images[1] = 0
    (black,) = Fgsm()(linear(3, size_px=8), examples, [SnrDb(33)])
    assert not black.images[1].any()
    assert black.snr_db_before_clamp.isnan().tolist() == black.kept.tolist() == [False, True, False]


class Counted(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.passes = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        logits: torch.Tensor = self.network(images)
        return logits


def test_all_strengths_share_one_pass_and_come_in_their_order() -> None:
    examples, network = disc_examples(10), Counted(small_cnn()).eval()
    strengths = [SnrDb(50), SnrDb(45), Eps(0.01), SnrDb(33)]
    together = Fgsm()(network, examples, strengths)
    assert network.passes == 1
    for strength, found in zip(strengths, together, strict=True):
        (alone,) = Fgsm()(network, examples, [strength])
        assert torch.equal(found.images, alone.images)
    assert [found.snr_db_asked[0].item() for found in together] == [50, 45, pytest.approx(torch.nan, nan_ok=True), 33]


def test_standardised_space_measures_and_steps_after_normalization() -> None:
    examples = disc_examples(10)
    examples = LabelledImages(0.3 + 0.4 * examples.images, examples.labels, examples.image_ids)
    (found,) = Fgsm(snr_space="standardised")(small_cnn(), examples, [SnrDb(33)])
    normalize = Normalize(MEAN, STD).double()
    signal = normalize(examples.images.double()).flatten(1)
    noise = (normalize(found.images.double()) - normalize(examples.images.double())).flatten(1)
    ratio_db = 20 * torch.log10(signal.norm(dim=1) / noise.norm(dim=1))
    torch.testing.assert_close(ratio_db, torch.full((10,), 33.0, dtype=torch.float64), atol=0.01, rtol=0)
    step = noise.abs().amax(1, keepdim=True)
    torch.testing.assert_close(noise.abs(), step.expand_as(noise), atol=1e-5, rtol=0)  # as large in every channel


def test_standardised_space_needs_a_network_that_normalizes() -> None:
    network = linear(3)
    with pytest.raises(AttackError, match="first layer does not normalize"):
        Fgsm(snr_space="standardised")(network, grey_examples(network, 2), [SnrDb(33)])
