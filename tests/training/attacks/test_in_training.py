"""Attacks on a network in training, compared with a simple implementation in evaluation mode."""

import copy
import hashlib
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from training.attacks import Attack, AttackError, Eps, SnrDb
from training.attacks.deepfool import Deepfool
from training.attacks.fgsm import Fgsm
from training.attacks.in_training import adversarial_images, evaluating
from training.attacks.labelled_images import LabelledImages, generator
from training.attacks.pgd import Pgd
from training.attacks.square import Square
from training.attacks.universal import Universal

EPS = 0.06
PGD = Pgd(steps=3, step_fraction=0.4)


class OneStep(NamedTuple):
    network: nn.Module
    images: torch.Tensor
    labels: torch.Tensor
    image_ids: list[str]
    seed: int = 5
    epoch: int = 2
    step: int = 7


def network_in_training() -> nn.Sequential:
    """A network with batch norm, dropout, and a second, frozen batch norm."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm2d(6), nn.Flatten()]
        network = nn.Sequential(*layers, nn.Linear(96, 4))
        for _ in range(3):
            network(torch.rand(16, 3, 6, 6))
    network[4].eval()
    return network


@pytest.fixture
def step() -> OneStep:
    images = torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    return OneStep(network_in_training(), images, torch.arange(8) % 4, [f"train/{row:05d}" for row in range(8)])


def test_it_is_pgd_on_the_network_in_evaluation_mode_from_a_start_of_this_epoch_and_step(step: OneStep) -> None:
    """Compared with Madry's loop on a copy of the network."""
    network = copy.deepcopy(step.network).eval()
    starts = []
    for image, image_id in zip(step.images, step.image_ids, strict=True):
        digest = hashlib.sha256(f"5\0pgd\0{image_id}\0002\0007".encode()).digest()
        drawn = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))
        starts.append(image + EPS * (2 * torch.rand(image.shape, generator=drawn) - 1))
    expected = torch.stack(starts).clamp(0, 1)
    for _ in range(3):
        expected.requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(network(expected), step.labels), expected)
        moved = expected.detach() + 0.4 * EPS * gradient.sign()
        expected = torch.minimum(torch.maximum(moved, step.images - EPS), step.images + EPS).clamp(0, 1)
    found = adversarial_images(step, PGD, Eps(EPS))
    assert ((found - expected).abs() > 1e-5).float().mean() < 0.01  # a rounded gradient's sign may turn
    assert not found.requires_grad


@pytest.mark.parametrize(
    "attack",
    [PGD, Fgsm(), Square(queries=5), Universal(epochs=1, images_per_step=8), Deepfool(steps=3)],
    ids=lambda attack: attack.kind,
)
def test_nothing_of_the_network_is_changed(step: OneStep, attack: Attack) -> None:
    network = step.network
    for number, parameter in enumerate(network.parameters()):
        parameter.grad = torch.full_like(parameter, float(number))
    before = copy.deepcopy(network)
    state = torch.random.get_rng_state()
    found = adversarial_images(step, attack, None if attack.kind == "deepfool" else SnrDb(20))
    assert not torch.equal(found, step.images)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [layer.training for layer in network.modules()] == [layer.training for layer in before.modules()]
    for one, other in zip(network.state_dict().values(), before.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    for number, parameter in enumerate(network.parameters()):
        assert parameter.requires_grad
        assert parameter.grad is not None and (parameter.grad == number).all()


def test_layers_have_their_modes_again_where_the_attack_fails(step: OneStep) -> None:
    with torch.no_grad():
        step.network[6].weight.fill_(torch.nan)
    with pytest.raises(AttackError, match=r"^epoch 3, step 8: the network's logits are not finite for train/00000"):
        adversarial_images(step, PGD, Eps(EPS))
    assert [layer.training for layer in step.network] == [True, True, True, True, False, True, True]
    with pytest.raises(KeyError), evaluating(step.network):
        assert not any(layer.training for layer in step.network.modules())
        raise KeyError
    assert step.network.training and not step.network[4].training


@pytest.mark.parametrize("attack", [PGD, Square(queries=5)], ids=lambda attack: attack.kind)
def test_every_epoch_and_step_has_its_own_reproducible_starting_points(step: OneStep, attack: Attack) -> None:
    moments = [(2, 7), (3, 7), (2, 8), (2, 7)]
    found = [adversarial_images(step._replace(epoch=epoch, step=at), attack, Eps(EPS)) for epoch, at in moments]
    assert torch.equal(found[0], found[3])
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(found[one], found[other])
    assert not torch.equal(adversarial_images(step._replace(seed=6), attack, Eps(EPS)), found[0])


def test_random_numbers_outside_training_have_not_changed() -> None:
    digest = hashlib.sha256(b"5\0pgd\0train/00001").digest()
    before = torch.rand(9, generator=torch.Generator().manual_seed(int.from_bytes(digest[:8], "little")))
    assert torch.equal(torch.rand(9, generator=generator(5, "pgd", "train/00001")), before)
    images = LabelledImages(torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64), ["a", "b"], 5)
    assert images.moment == () and images.at(torch.tensor([1])).moment == ()
    inside = LabelledImages(images.images, images.labels, images.image_ids, 5, (2, 7))
    assert inside.at(torch.tensor([1])).moment == (2, 7)


def test_a_strength_is_given_where_the_attack_has_one(step: OneStep) -> None:
    with pytest.raises(AttackError, match="attack=pgd: needs a strength"):
        adversarial_images(step, PGD)
    with pytest.raises(AttackError, match="attack=deepfool: has no strength"):
        adversarial_images(step, Deepfool(), Eps(EPS))
