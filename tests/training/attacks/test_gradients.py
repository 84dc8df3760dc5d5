import copy

import pytest
import torch
from attacked_networks import disc_examples, grey_examples, linear, small_cnn
from torch import nn

from training.attacks import AttackError
from training.attacks.gradients import differentiate, fooled, logits_of
from training.models.margins import log_odds, margin


def test_cross_entropy_is_the_softplus_of_the_log_odds() -> None:
    logits = 3 * torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 7
    expected = nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(nn.functional.softplus(log_odds(logits, labels)), expected)


def test_the_log_odds_gradient_is_cross_entropys_up_to_a_positive_factor() -> None:
    examples = disc_examples(20)
    inputs = examples.images.clone().requires_grad_()
    loss = nn.functional.cross_entropy(small_cnn()(inputs), examples.labels, reduction="sum")
    (expected,) = torch.autograd.grad(loss, inputs)
    found = differentiate(small_cnn(), examples.images, examples, log_odds).gradient
    cosine = nn.functional.cosine_similarity(found.flatten(1).double(), expected.flatten(1).double())
    assert cosine.min().item() == pytest.approx(1, abs=1e-3)


def test_a_network_that_is_sure_of_itself_still_has_the_right_direction() -> None:
    """The gradient of cross entropy itself is zero here: float32 has no probability below exp(−103)."""
    network = linear(2, scale=2000.0)
    examples = grey_examples(network, 8)
    inputs = examples.images.clone().requires_grad_()
    assert not torch.autograd.grad(nn.functional.cross_entropy(network(inputs), examples.labels), inputs)[0].any()
    rows = network[1].weight.detach()
    found = differentiate(network, examples.images, examples, log_odds).gradient
    expected = rows[1 - examples.labels] - rows[examples.labels]
    torch.testing.assert_close(found.flatten(1), expected)


def test_the_margin_is_positive_where_another_class_wins() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]])
    labels = torch.tensor([1, 2])
    assert margin(logits, labels).tolist() == [-1.0, 1.0]
    assert fooled(logits, labels).tolist() == [False, True]


def test_parameters_and_images_stay_as_they_are() -> None:
    network, examples = copy.deepcopy(small_cnn()), disc_examples(4)
    network[1].weight.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    with torch.no_grad():
        differentiate(network, examples.images, examples, log_odds)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert [parameter.requires_grad for parameter in network.parameters()] == [False] + [True] * 5
    assert not examples.images.requires_grad


class RootOfZero(nn.Module):
    """Finite logits whose gradient is not finite where an image is black."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        root = images.flatten(1).sum(1).sqrt()
        return torch.stack([root, 2 * root], dim=1)


def test_gradients_that_are_not_finite_are_refused_by_name() -> None:
    examples = grey_examples(linear(2), 3)
    examples.images[1] = 0
    with pytest.raises(AttackError, match=r"gradient is not finite for image-1$"):
        differentiate(RootOfZero(), examples.images, examples, log_odds)


def test_logits_that_are_not_finite_are_refused_by_name() -> None:
    network = linear(3)
    examples = grey_examples(network, 3)
    with torch.no_grad():
        network[1].bias[0] = torch.nan
    with pytest.raises(AttackError, match=r"logits are not finite for image-0, image-1, image-2"):
        logits_of(network, examples.images, examples)


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_outside_the_classes_are_refused_by_name(label: int) -> None:
    network = linear(3)
    examples = grey_examples(network, 4)
    examples.labels[2] = label
    with pytest.raises(AttackError, match=rf"labels \[{label}\] of image-2 are not among the network's 3 classes"):
        logits_of(network, examples.images, examples)
