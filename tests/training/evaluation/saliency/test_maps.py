import numpy as np
import pytest
import torch
from attacked_networks import discs, linear, small_cnn
from saliency_twins import grad_cam as plain_grad_cam
from saliency_twins import gradient as plain_gradient
from torch import nn

from training.evaluation.saliency.maps import (
    GRAD_CAM,
    GRADIENT,
    INTEGRATED,
    grad_cam,
    gradient,
    integrated_gradients,
    last_convolution,
    maps,
)


def test_the_gradient_is_autograds() -> None:
    images, labels = discs(5, seed=3)
    found = gradient(small_cnn(), images, labels)
    for row, image in enumerate(images):
        torch.testing.assert_close(found[row], plain_gradient(small_cnn(), image, int(labels[row])))


def test_integrated_gradients_sum_to_the_difference_from_black() -> None:
    """The axiom of completeness; and of a linear network they are weight times image."""
    images, labels = discs(5, seed=3)
    found = integrated_gradients(small_cnn(), images, labels, steps=200).sum((1, 2, 3))
    with torch.no_grad():
        logits, black = small_cnn()(images), small_cnn()(torch.zeros_like(images[:1]))
    expected = torch.stack([logits[row, label] - black[0, label] for row, label in enumerate(labels)])
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
    network = linear(5)
    small = torch.rand(3, 3, 6, 6)
    classes = torch.tensor([0, 4, 2])
    exact = network[1].weight[classes].view(3, 3, 6, 6) * small
    torch.testing.assert_close(integrated_gradients(network, small, classes, steps=2), exact.detach())


def test_grad_cam_is_that_of_the_paper() -> None:
    images, labels = discs(5, seed=3)
    network = small_cnn()
    layer = last_convolution(network, images)
    place = list(network).index(layer)  # type: ignore[arg-type]
    assert isinstance(network[place], nn.Conv2d) and network[place].out_channels == 16
    found = grad_cam(network, network[place], images, labels)
    assert found.abs().amax() > 0
    for row, image in enumerate(images):
        expected = plain_grad_cam(network[: place + 1], network[place + 1 :], image, int(labels[row]))
        torch.testing.assert_close(found[row, 0], expected, rtol=1e-4, atol=1e-6)


def test_the_last_convolution_is_the_last_one_that_is_called() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first, self.unused = nn.Conv2d(4, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            pooled: torch.Tensor = self.second(self.first(images)).mean((2, 3))
            return pooled

    network = Turned()
    assert last_convolution(network, torch.rand(1, 3, 4, 4)) is network.second
    assert not network.first._forward_hooks


@pytest.mark.parametrize("frozen", [False, True])
def test_all_maps_have_the_images_size_and_leave_no_trace(frozen: bool) -> None:
    images, labels = discs(3, seed=3)
    network = small_cnn()
    network.zero_grad()  # other tests leave gradients on it
    try:
        network.requires_grad_(not frozen)
        found = maps(network, images, labels, steps=8)
    finally:
        network.requires_grad_(True)
    assert list(found) == [GRADIENT, INTEGRATED, GRAD_CAM]
    for one in found.values():
        assert one.shape == (3, 16, 16) and one.dtype == np.float32 and (one >= 0).all()
    assert all(parameter.grad is None for parameter in network.parameters())
    assert list(maps(linear(5), torch.rand(2, 3, 6, 6), torch.tensor([0, 1]), 8)) == [GRADIENT, INTEGRATED]
