from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import ks_1samp, truncnorm
from torch import nn
from torch.nn.functional import cross_entropy

from training.attacks.in_training import Mode
from training.attacks.pgd import Pgd
from training.models.baseline_cnn import BaselineCnn
from training.models.sign_net import SignNet
from training.objectives import Adversarial, LipschitzMargin, ObjectiveInputs, Trades
from training.objectives.adversarial import truncated_magnitudes

IDS = [f"train/{row:05d}" for row in range(10)]


def given_to(network: nn.Module, mean_norm: float = 5.0, epoch: int = 0) -> ObjectiveInputs:
    images = torch.rand(10, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    loss = partial(cross_entropy, reduction="none", label_smoothing=0.1)
    random = np.random.default_rng(0)
    labels = torch.arange(10) % 5
    return ObjectiveInputs(network, network, loss, images, labels, IDS, random, {}, 3, epoch, 0, (), mean_norm)


def small(seed: int = 0) -> nn.Module:
    return BaselineCnn().build(16, 5, (0.4,) * 3, (0.3,) * 3, seed)


def test_magnitudes_follow_the_truncated_normal_distribution() -> None:
    """Truncation is symmetric, so |z| is the half of it above zero."""
    drawn = truncated_magnitudes(np.random.default_rng(0).random(20_000))
    assert drawn.max() <= 2
    assert ks_1samp(drawn, truncnorm(0, 2).cdf).pvalue > 0.01


def test_the_sd_is_the_mean_radius_of_the_ratio() -> None:
    """‖x‖ = 5 on average, 33 dB, and 768 values: 5 / (27.71 · 44.67)."""
    given = given_to(small())
    fixed = Adversarial(eps_law="fixed").radii(given)
    np.testing.assert_allclose(fixed, 5 / (np.sqrt(768) * 10 ** (33 / 20)))
    l2 = Adversarial(eps_law="fixed", attack=Pgd(norm="l2"), snr_db=20.0)
    np.testing.assert_allclose(l2.radii(given), 0.5)
    drawn = Adversarial().radii(given_to(small()))
    assert (drawn > 0).all() and (drawn <= 2 * fixed).all() and len(set(drawn)) == 10


def test_adversarial_is_the_weighted_mean_of_both_losses_at_fgsms_corner() -> None:
    network = small()
    given = given_to(network)
    objective = Adversarial(weight=3.0, eps=0.02, snr_db=None, eps_law="fixed")
    losses = objective(given)
    images = given.images.clone().requires_grad_()
    cross_entropy(network(images), given.labels).backward()
    assert images.grad is not None
    attacked = (given.images + 0.02 * images.grad.sign()).clamp(0, 1)
    clean, adversarial = given.loss(network(given.images), given.labels), given.loss(network(attacked), given.labels)
    torch.testing.assert_close(losses.parts["adversarial"], adversarial)
    torch.testing.assert_close(losses.total, (clean + 3 * adversarial) / 4)
    assert adversarial.mean() > clean.mean()


def test_trades_is_zhangs_loop() -> None:
    network, beta, eps = small(), 4.0, 0.05
    losses = Trades(beta=beta, eps=eps, steps=3, step_fraction=0.5)(given_to(network))
    given = given_to(network)
    clean = network(given.images).softmax(1).detach()
    points = trades_start(given, eps)
    for _ in range(3):
        points.requires_grad_()
        predicted = network(points).log_softmax(1)
        (gradient,) = torch.autograd.grad((clean * (clean.log() - predicted)).sum(), points)
        points = points.detach() + 0.5 * eps * gradient.sign()
        points = torch.minimum(torch.maximum(points, given.images - eps), given.images + eps).clamp(0, 1)
    apart = (clean * (clean.log() - network(points).log_softmax(1))).sum(1)
    torch.testing.assert_close(losses.parts["divergence"], apart, atol=1e-5, rtol=1e-3)
    expected = given.loss(network(given.images), given.labels) + beta * apart
    torch.testing.assert_close(losses.total, expected, atol=1e-4, rtol=1e-3)
    assert (apart > 0).all()


def trades_start(given: ObjectiveInputs, eps: float) -> torch.Tensor:
    from training.attacks.labelled_images import generator

    noise = [torch.randn(3, 16, 16, generator=generator(3, "trades", name, (0, 0))) for name in given.image_ids]
    start = given.images + 0.001 * torch.stack(noise)
    return torch.minimum(torch.maximum(start, given.images - eps), given.images + eps).clamp(0, 1)


def test_trades_without_beta_is_cross_entropy() -> None:
    given = given_to(small())
    losses = Trades(beta=0.0, steps=1)(given)
    torch.testing.assert_close(losses.total, given.loss(given.network(given.images), given.labels))


def test_a_margin_of_the_offset_is_worth_log_of_the_classes() -> None:
    """Logits of 2 u at the label and 0 elsewhere are u ahead after the offset; with equal logits, u behind."""
    offset, temperature, labels = 1.5, 0.25, torch.arange(5)
    logits = 2 * offset * torch.eye(5)
    given = given_to(small())._replace(
        images=torch.zeros(5, 3, 16, 16), labels=labels, logits_of=lambda _: logits,
        loss=partial(cross_entropy, reduction="none"),
    )  # fmt: skip
    losses = LipschitzMargin(offset=offset, temperature=temperature)(given)
    expected = temperature * np.log(1 + 4 * np.exp(-offset / temperature))
    np.testing.assert_allclose(losses.total, expected, rtol=1e-4)
    behind = LipschitzMargin(offset=offset, temperature=temperature)(given._replace(logits_of=lambda _: 0 * logits))
    np.testing.assert_allclose(behind.total, temperature * np.log(1 + 4 * np.exp(offset / temperature)), rtol=1e-4)


@pytest.mark.parametrize("mode", ["evaluation", "training"])
@pytest.mark.parametrize("objective", [Adversarial, Trades])
def test_crafting_leaves_batch_norm_as_it_was(objective: Callable[..., Adversarial | Trades], mode: Mode) -> None:
    """One forward pass in training mode moves the running statistics once, whatever the attack did."""
    networks = [SignNet(widths=(4, 4, 4, 4, 4)).build(16, 5, (0.4,) * 3, (0.3,) * 3, 0).train() for _ in range(2)]
    kept: list[torch.Tensor] = []

    def noted(images: torch.Tensor) -> torch.Tensor:
        kept.append(images)
        torch.manual_seed(0)  # for dropout
        result: torch.Tensor = networks[0](images)
        return result

    objective(crafted_in=mode)(given_to(networks[0])._replace(logits_of=noted))
    assert all(layer.training for layer in networks[0].modules())
    torch.manual_seed(0)
    networks[1](kept[0])
    for one, other in zip(networks[0].buffers(), networks[1].buffers(), strict=True):
        assert torch.equal(one, other)


def test_the_modes_craft_different_images() -> None:
    network = SignNet(widths=(4, 4, 4, 4, 4)).build(16, 5, (0.4,) * 3, (0.3,) * 3, 0).train()
    parts = []
    for mode in ("evaluation", "training"):
        torch.manual_seed(0)
        parts.append(Adversarial(eps=0.05, snr_db=None, eps_law="fixed", crafted_in=mode)(given_to(network)).parts)
    assert not torch.allclose(parts[0]["adversarial"], parts[1]["adversarial"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"eps": 0.1}, "either snr_db or eps"),
        ({"snr_db": None}, "either snr_db or eps"),
        ({"snr_db": None, "eps": 0.0}, "greater than 0"),
        ({"snr_db": None, "eps": 1.5}, "less than or equal to 1"),
        ({"snr_db": float("nan")}, "finite"),
        ({"attack": "deepfool"}, "has no strength"),
        ({"weight": 0.0}, "greater than 0"),
    ],
)
def test_strengths_out_of_range_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Adversarial(**fields)  # type: ignore[arg-type]
