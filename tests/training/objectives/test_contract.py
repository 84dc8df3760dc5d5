"""What all objectives promise, each with its own defaults, and a robust one too; a new line in OBJECTIVES is tested
without further ado."""

from functools import partial

import numpy as np
import pytest
import torch
from on_adversarial_images import OnAdversarialImages
from torch import nn
from torch.nn.functional import cross_entropy

from pipelines.settings import choose, describe
from training.models.baseline_cnn import BaselineCnn
from training.objectives import OBJECTIVES, ObjectiveInputs

MENU = {**OBJECTIVES, OnAdversarialImages.kind: OnAdversarialImages}


@pytest.fixture(params=MENU)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def given_to(network: nn.Sequential) -> ObjectiveInputs:
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    features = {name: torch.ones(6, 4) for name, _ in network.named_modules()}
    loss = partial(cross_entropy, reduction="none")
    ids = [f"train/{row:05d}" for row in range(6)]
    return ObjectiveInputs(
        network, network, loss, images, torch.arange(6) % 5, ids, np.random.default_rng(0), features, 3, 1, 2,
        [BaselineCnn().build(16, 5, (0.4, 0.4, 0.4), (0.3, 0.3, 0.3), 1).eval()], 20.0,
    )  # fmt: skip


def test_it_gives_a_loss_of_each_image_its_logits_and_the_parts_that_it_names(kind: str) -> None:
    objective = MENU[kind]()
    network = BaselineCnn().build(16, 5, (0.4, 0.4, 0.4), (0.3, 0.3, 0.3), 0).train()
    given = given_to(network)
    losses = objective(given)
    assert losses.total.shape == (6,) and losses.total.isfinite().all()
    torch.testing.assert_close(losses.logits, network(given.images))
    assert tuple(losses.parts) == objective.parts
    assert all(part.shape == (6,) for part in losses.parts.values())
    losses.total.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network.training


def test_it_is_made_again_from_its_description(kind: str) -> None:
    assert choose(MENU, describe(MENU[kind]())) == MENU[kind]()
