import numpy as np
import pytest
import torch
import torchattacks
from attacked_networks import accuracy, disc_examples, examples_of, grey_examples, linear, small_cnn, weights
from torch import nn

from training.attacks.balls import Norm, norms
from training.attacks.deepfool import Deepfool


def test_on_a_binary_linear_network_it_is_the_orthogonal_projection() -> None:
    """The slides' claim, and the paper's section 2: r = −f(x) / ‖w‖² w."""
    network = linear(2)
    examples = grey_examples(network, 20)
    found = Deepfool(overshoot=0.001)(network, examples)
    difference = weights(network)[1] - weights(network)[0]
    points = examples.images.double().numpy().reshape(20, -1)
    decision = (points - 0.5) @ difference
    expected = points - 1.001 * np.outer(decision, difference) / (difference @ difference)
    np.testing.assert_allclose(found.images.double().numpy().reshape(20, -1), expected, atol=2e-6)
    assert accuracy(network, found.images, examples.labels) == 0


@pytest.mark.parametrize(("norm", "dual"), [("l2", 2), ("linf", 1)])
def test_on_a_linear_network_of_many_classes_it_goes_to_the_nearest_boundary(norm: Norm, dual: int) -> None:
    network = linear(12)
    examples = grey_examples(network, 20)
    found = Deepfool(norm=norm, classes=12, overshoot=0.01)(network, examples)
    logits = network.double()(examples.images.double()).detach().numpy()
    distances = []
    for row, label in zip(logits, examples.labels.tolist(), strict=True):
        ways = np.delete(weights(network), label, axis=0) - weights(network)[label]
        gaps = row[label] - np.delete(row, label)
        distances.append((gaps / np.linalg.norm(ways, ord=dual, axis=1)).min())
    reached = norms(found.images - examples.images, norm).double().numpy()
    np.testing.assert_allclose(reached, 1.01 * np.array(distances), rtol=1e-3)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_it_fools_everywhere_on_a_convolutional_network(norm: Norm) -> None:
    examples = disc_examples(60)
    found = Deepfool(norm=norm)(small_cnn(), examples)
    assert accuracy(small_cnn(), found.images, examples.labels) == 0
    assert not found.kept.any()


def test_its_norms_are_about_those_of_torchattacks() -> None:
    examples = disc_examples(60)
    found = Deepfool()(small_cnn(), examples)
    theirs = torchattacks.DeepFool(small_cnn(), steps=50, overshoot=0.02)(examples.images, examples.labels)
    fooled = small_cnn()(theirs).argmax(1) != examples.labels
    assert fooled.double().mean() > 0.9  # some of theirs stop a rounding error short of it; all of ours are fooled
    noises = [(images - examples.images)[fooled] for images in (found.images, theirs)]
    ours, expected = (norms(noise, "l2").mean().item() for noise in noises)
    assert ours == pytest.approx(expected, rel=0.03)


def test_in_linf_its_norms_are_far_below_those_of_l2() -> None:
    examples = disc_examples(30)
    linf, l2 = (
        norms(Deepfool(norm=norm)(small_cnn(), examples).images - examples.images, "linf") for norm in ("linf", "l2")
    )
    assert (linf < 0.5 * l2).double().mean() > 0.9


class Constant(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([1 + 0 * images.sum((1, 2, 3)), 0 * images.sum((1, 2, 3))], dim=1)


def test_without_a_boundary_the_image_is_unchanged() -> None:
    examples = grey_examples(Constant(), 3)
    found = Deepfool(steps=5)(Constant().eval(), examples)
    assert torch.equal(found.images, examples.images)
    assert found.kept.all()


def test_an_image_on_the_boundary_is_pushed_over_it() -> None:
    network = linear(2)
    images = torch.full((1, 3, 6, 6), 0.5)
    logits = network(images)
    with torch.no_grad():
        network[1].bias[1] += logits[0, 0] - logits[0, 1]
    examples = examples_of(images, network(images).argmax(1))
    assert accuracy(network, Deepfool()(network, examples).images, examples.labels) == 0
