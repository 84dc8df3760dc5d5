import copy

import numpy as np
import pytest
import torch
import torchattacks
from attacked_networks import accuracy, disc_examples, grey_examples, in_float64, linear, small_cnn, weights
from pydantic import ValidationError

from training.attacks import Eps, SnrDb
from training.attacks.pgd import Pgd


@pytest.mark.parametrize("random_start", [False, True])
def test_on_a_binary_linear_network_it_ends_in_the_balls_corner(random_start: bool) -> None:
    network = linear(2)
    examples = grey_examples(network, 10)
    (found,) = Pgd(steps=20, step_fraction=0.15, random_start=random_start)(network, examples, [Eps(0.02)])
    signs = np.sign(weights(network)[1 - examples.labels] - weights(network)[examples.labels])
    expected = examples.images.double().numpy() + 0.02 * signs.reshape(-1, 3, 6, 6)
    np.testing.assert_allclose(found.images.double().numpy(), expected, atol=1e-6)


def test_in_l2_it_ends_where_the_weights_difference_leaves_the_ball() -> None:
    network = linear(2)
    examples = grey_examples(network, 10)
    (found,) = Pgd(norm="l2", steps=80, step_fraction=0.2)(network, examples, [Eps(0.2)])
    way = weights(network)[1 - examples.labels] - weights(network)[examples.labels]
    way = way / np.linalg.norm(way, axis=1, keepdims=True)
    expected = examples.images.double().numpy() + 0.2 * way.reshape(-1, 3, 6, 6)
    np.testing.assert_allclose(found.images.double().numpy(), expected, atol=1e-4)


def test_without_random_start_it_equals_torchattacks() -> None:
    """In float64: in float32 the sign of a gradient of nearly zero is another one on another processor."""
    network, examples = copy.deepcopy(small_cnn()).double(), in_float64(disc_examples(60))
    linf = Pgd(steps=10, step_fraction=0.25, random_start=False)
    l2 = Pgd(norm="l2", steps=4, step_fraction=0.3, random_start=False)
    for pgd, eps, theirs in (
        (linf, 8 / 255, torchattacks.PGD(network, eps=8 / 255, alpha=2 / 255, steps=10, random_start=False)),
        (l2, 0.5, torchattacks.PGDL2(network, eps=0.5, alpha=0.15, steps=4, random_start=False)),
    ):
        found = pgd.perturb(network, examples, torch.full((60,), eps, dtype=torch.float64))
        expected = theirs(examples.images, examples.labels)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)  # theirs adds 1e-10 to each gradient's norm


def test_it_is_stronger_than_one_step_and_weaker_at_a_higher_ratio() -> None:
    examples = disc_examples(100)
    accuracies = [
        accuracy(small_cnn(), found.images, examples.labels)
        for found in Pgd(steps=10, step_fraction=0.25)(small_cnn(), examples, [SnrDb(22), SnrDb(25), SnrDb(28)])
    ]
    assert accuracies == sorted(accuracies)
    one_step = Pgd(steps=1, step_fraction=1, random_start=False)(small_cnn(), examples, [SnrDb(25)])[0]
    assert accuracies[1] < accuracy(small_cnn(), one_step.images, examples.labels)


def test_restarts_only_add_what_is_fooled() -> None:
    examples = disc_examples(100)
    fooled = []
    for restarts in (1, 4):
        (found,) = Pgd(steps=3, step_fraction=0.5, restarts=restarts)(small_cnn(), examples, [Eps(0.03)])
        fooled.append(small_cnn()(found.images).argmax(1) != examples.labels)
    assert (fooled[1] | ~fooled[0]).all()
    assert fooled[1].sum() > fooled[0].sum()


def test_the_seed_decides_the_random_start() -> None:
    examples = disc_examples(4)
    results = []
    for seed in (0, 0, 1):
        seeded = type(examples)(examples.images, examples.labels, examples.image_ids, seed)
        results.append(Pgd(steps=1)(small_cnn(), seeded, [Eps(0.03)])[0].images)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_restarts_without_a_random_start_are_refused() -> None:
    with pytest.raises(ValidationError, match="all give the same result"):
        Pgd(restarts=2, random_start=False)
