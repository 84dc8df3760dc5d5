from functools import partial

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch.nn.functional import cross_entropy

from training.augmentation.fresh_noise import FreshNoise
from training.models.baseline_cnn import BaselineCnn
from training.objectives import Consistency, ObjectiveInputs
from training.objectives.consistency import jensen_shannon


def given(seed: int = 0) -> ObjectiveInputs:
    network = BaselineCnn(dropout=0.0).build(16, 5, (0.4,) * 3, (0.3,) * 3, 0)
    images = torch.rand(10, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    loss = partial(cross_entropy, reduction="none", label_smoothing=0.1)
    random = np.random.default_rng(seed)
    return ObjectiveInputs(network, network, loss, images, torch.arange(10) % 5, [], random, {}, 0, 0, 0)


def test_the_divergence_is_scipys() -> None:
    logits = torch.randn(2, 40, 7, generator=torch.Generator().manual_seed(0)) * 3
    expected = [jensenshannon(*pair) ** 2 for pair in logits.softmax(2).double().numpy().transpose(1, 0, 2)]
    np.testing.assert_allclose(jensen_shannon(*logits), expected, atol=1e-6)
    assert torch.equal(jensen_shannon(logits[0], logits[0]).abs() < 1e-6, torch.ones(40, dtype=torch.bool))


def test_opposite_certainties_are_log_2_apart_with_a_finite_gradient() -> None:
    one, other = torch.tensor([[900.0, -900.0]], requires_grad=True), torch.tensor([[-900.0, 900.0]])
    apart = jensen_shannon(one, other)
    apart.sum().backward()
    assert apart.item() == pytest.approx(np.log(2), abs=1e-5)
    assert one.grad is not None and one.grad.isfinite().all()


def test_it_is_the_mean_loss_of_an_image_and_its_noisy_self_and_their_divergence() -> None:
    step, objective = given(), Consistency(weight=3.0, noise=FreshNoise(clean_share=0.0, kinds=("waves",)))
    losses = objective(step)
    draws = torch.Generator().manual_seed(int(np.random.default_rng(0).integers(2**63)))
    noisy = objective.noise(step.images, draws)
    assert not torch.equal(noisy, step.images)
    logits = [step.network(images) for images in (step.images, noisy)]
    own = [step.loss(each, step.labels) for each in logits]
    apart = jensen_shannon(*logits)
    torch.testing.assert_close(losses.total, (own[0] + own[1]) / 2 + 3 * apart)
    torch.testing.assert_close(losses.parts["noisy"], own[1])
    torch.testing.assert_close(losses.parts["consistency"], apart)
    torch.testing.assert_close(losses.logits, logits[0])


def test_the_draws_of_the_step_decide_the_noise() -> None:
    first, again, other = (Consistency()(given(seed)).parts["noisy"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_noise_nothing_is_apart() -> None:
    none = FreshNoise(clean_share=0.0, kinds=("gaussian",), std_grey=0.0)
    losses = Consistency(noise=none)(given())
    assert losses.parts["consistency"].abs().max() < 1e-4
    torch.testing.assert_close(losses.total, losses.parts["noisy"], atol=1e-3, rtol=0)
