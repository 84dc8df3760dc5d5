import math

import pytest
import torch
from gan_twins import slow_gradient_penalty
from torch import nn
from torch.nn.functional import binary_cross_entropy

from pipelines.errors import SettingsError
from training.gans import GeneratorLossInputs
from training.gans.adversarial import Adversarial
from training.gans.losses import LOSSES, gradient_penalty, squared_gradients

VALUES = torch.tensor([-3.0, -0.5, 0.0, 2.0])


def test_bce_is_the_cross_entropy_of_the_papers_sigmoid() -> None:
    judged, ones = torch.sigmoid(VALUES), torch.ones(4)
    bce = LOSSES["bce"]
    for found, target in ((bce.real, ones), (bce.fake, ones - 1), (bce.generator, ones)):
        torch.testing.assert_close(found(VALUES), binary_cross_entropy(judged, target, reduction="none"))
    assert bce.real(torch.tensor([-200.0])).item() == 200  # where a sigmoid would be zero


def test_least_squares_and_wasserstein_by_hand() -> None:
    squares, critic = LOSSES["least_squares"], LOSSES["wasserstein"]
    assert squares.real(VALUES).tolist() == [8.0, 1.125, 0.5, 0.5]
    assert squares.fake(VALUES).tolist() == [4.5, 0.125, 0.0, 2.0]
    assert squares.generator(VALUES).tolist() == [8.0, 1.125, 0.5, 0.5]
    assert critic.real(VALUES).tolist() == [3.0, 0.5, 0.0, -2.0]
    assert critic.fake(VALUES).tolist() == VALUES.tolist()
    assert critic.generator(VALUES).tolist() == [3.0, 0.5, 0.0, -2.0]


def test_the_relativistic_loss_is_of_the_difference_and_the_same_for_both_players() -> None:
    pairing, real, made = LOSSES["relativistic"], VALUES, VALUES.flip(0)
    assert pairing.paired and not any(LOSSES[name].paired for name in LOSSES if name != "relativistic")
    expected = torch.tensor(
        [math.log(1 + math.exp(-(a - b))) for a, b in zip(real.tolist(), made.tolist(), strict=True)]
    )
    torch.testing.assert_close(pairing.real(real - made), expected)
    torch.testing.assert_close(pairing.generator(made - real), expected.flip(0))
    assert not pairing.fake(made).any()


class Linear(nn.Module):
    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (images * self.weight).flatten(1).sum(1)


def images(seed: int, count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_penalty_of_a_linear_critic_is_of_its_weights_norm_over_all_dimensions() -> None:
    weight = images(0, 1)[0]
    critic = Linear(weight)
    penalties = gradient_penalty(critic, images(1), images(2), torch.zeros(3).long(), torch.rand(3))
    expected = (weight.norm() - 1) ** 2
    torch.testing.assert_close(penalties, expected.expand(3))
    penalties.mean().backward()
    assert critic.weight.grad is not None
    torch.testing.assert_close(critic.weight.grad, 2 * (weight.norm() - 1) * weight / weight.norm())


class Curved(nn.Module):
    """A critic whose gradient depends on the position and the class."""

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (labels + 1) * (images**3).flatten(1).sum(1) / 4


def test_each_image_has_its_own_penalty_at_its_own_place_as_a_slow_twin_finds_it() -> None:
    labels, share = torch.tensor([0, 1, 2]), torch.tensor([0.1, 0.5, 0.9])
    found = gradient_penalty(Curved(), images(1), images(2), labels, share)
    slow = slow_gradient_penalty(Curved(), images(1), images(2), labels, share)
    torch.testing.assert_close(found.double(), slow, rtol=1e-4, atol=1e-5)
    assert len(set(found.tolist())) == 3
    swapped = gradient_penalty(Curved(), images(1), images(2), labels, 1 - share)
    assert not torch.allclose(found, swapped)


def test_r1_and_r2_are_the_squared_gradients_of_each_image() -> None:
    """∂/∂x of (label + 1) · Σ x³ / 4 is (label + 1) · 3x² / 4."""
    labels, sets = torch.tensor([0, 1, 2]), [images(1).requires_grad_(), images(2).requires_grad_()]
    found = squared_gradients([Curved()(each, labels) for each in sets], sets)
    for of_set, each in zip(found, sets, strict=True):
        expected = ((labels + 1)[:, None] * 0.75 * each.detach().flatten(1) ** 2).square().sum(1)
        torch.testing.assert_close(of_set, expected)


class Thresholded(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images > 0).float().flatten(1).sum(1)


@pytest.mark.parametrize("needs_gradients", [True, False])
def test_a_discriminator_without_gradients_at_its_images_cannot_be_penalized(needs_gradients: bool) -> None:
    given = images(1).requires_grad_(needs_gradients)
    values = Thresholded()(given) + nn.Parameter(torch.ones(3))
    with pytest.raises(
        SettingsError, match=r"gan.r1, gan.r2: the discriminator's values have no gradient .* set gan.r1=0"
    ):
        squared_gradients([values], [given])


class Says(nn.Module):
    """The same logits for any image."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1)


def seen(classifier: nn.Module, noise: float) -> GeneratorLossInputs:
    """One image with label 0 and value 0.5, changed by `noise` in each of its 48 values."""
    latent = torch.zeros(1, 3, 4, 4)
    return GeneratorLossInputs(torch.tensor([0.5]), latent, latent + 2 * noise, torch.tensor([0]), classifier)


def test_the_adversarial_loss_by_hand() -> None:
    gan = Adversarial(eps=0.1, confidence=1.0, fooling_weight=2.0, gan_weight=3.0, hinge_weight=4.0, hinge_from=0.5)
    losses = gan.generator_losses(seen(Says(2.0, 1.0, 0.0), 0.08))
    assert losses["fooling"].item() == pytest.approx(2 - 1 + 1)
    assert losses["gan"].item() == pytest.approx((0.5 - 1) ** 2 / 2)
    assert losses["hinge"].item() == pytest.approx(0.8 - 0.5, abs=1e-5)
    assert losses["generator"].item() == pytest.approx(2 * 2 + 3 * 0.125 + 4 * 0.3, abs=1e-4)
    assert losses["fooled"].item() == 0
    assert gan.generator_losses(seen(Says(0.0, 5.0, 0.0), 0.0))["fooling"].item() == 0
    assert gan.generator_losses(seen(Says(0.0, 5.0, 0.0), 0.0))["fooled"].item() == 1


def test_the_hinge_at_a_ratio_is_in_units_of_the_norm_that_is_allowed() -> None:
    gan = Adversarial(snr_db=20.0, hinge_from=0.5)
    assert gan.generator_losses(seen(Says(1.0, 0.0), 0.04))["hinge"].item() == pytest.approx(0.3, abs=1e-5)


def test_towards_a_target_the_loss_is_of_the_targets_logit() -> None:
    targeted = Adversarial(eps=0.1, target=2)
    losses = targeted.generator_losses(seen(Says(2.0, 5.0, 0.5), 0.0))
    assert (losses["fooling"].item(), losses["fooled"].item()) == (4.5, 0)
    losses = targeted.generator_losses(seen(Says(2.0, 1.0, 4.0), 0.0))
    assert (losses["fooling"].item(), losses["fooled"].item()) == (0, 1)


@pytest.mark.parametrize(("target", "expected"), [(None, -(1 - 0.665241)), (2, 0.090031)])
def test_cross_entropy_is_of_the_probability_of_erring(target: int | None, expected: float) -> None:
    """softmax(2, 1, 0) = (0.665241, 0.244728, 0.090031)."""
    gan = Adversarial(eps=0.1, target=target, objective="cross_entropy")
    found = gan.generator_losses(seen(Says(2.0, 1.0, 0.0), 0.0))["fooling"].item()
    assert found == pytest.approx(-torch.tensor(abs(expected)).log().item(), abs=1e-4)
