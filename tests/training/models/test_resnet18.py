"""Narrow ResNet-18s, and residual blocks whose sums are convex."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.models.resnet import BasicBlock

from training.models.resnet18 import ConvexSum, Resnet18

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)


def build(width: int = 64, *, convex_sums: bool = False) -> nn.Sequential:
    return Resnet18(width=width, convex_sums=convex_sums).build(32, 10, MEAN, STD, 0)


@pytest.mark.parametrize("width", [8, 16, 64])
def test_the_parameters_of_a_width_are_those_of_the_layers(width: int) -> None:
    """Two numbers per channel of a batch norm; 9 · 3 w of the first convolution; four 3 × 3 convolutions in a stage."""
    channels = [width, width, 2 * width, 4 * width, 8 * width]
    expected = 27 * width + 2 * width + 10 * (8 * width + 1)
    for inside, outside in pairwise(channels):
        expected += 9 * inside * outside + 3 * 9 * outside**2 + 4 * 2 * outside
        if inside != outside:
            expected += inside * outside + 2 * outside
    assert sum(parameter.numel() for parameter in build(width).parameters()) == expected
    with_sums = build(width, convex_sums=True)
    assert sum(parameter.numel() for parameter in with_sums.parameters()) == expected + 8


def test_a_narrow_network_has_weights_of_the_same_law() -> None:
    """A standard deviation of √(2 / (9 · channels)), from He et al. 2015."""
    convolution = build(16).get_submodule("1.layer4.1.conv2")
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.weight.std().item() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    assert torch.equal(
        build(16).state_dict()["1.layer2.0.conv1.weight"], build(16).state_dict()["1.layer2.0.conv1.weight"]
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 1.0])
def test_a_convex_sum_weighs_both_branches(stride: int, share: float) -> None:
    """With inputs above 0 and F's last batch norm constant, both branches are known."""
    torch.manual_seed(0)
    shape = nn.Sequential(nn.Conv2d(4, 4, 1, stride, bias=False), nn.BatchNorm2d(4)) if stride == 2 else None
    block = ConvexSum(BasicBlock(4, 4, stride, shape)).eval()
    assert block.share.item() == 0.5
    nn.init.zeros_(block.bn2.weight)
    nn.init.constant_(block.bn2.bias, 3.0)
    images = torch.rand(2, 4, 8, 8)
    with torch.no_grad():
        block.share.fill_(share)
        kept = images if shape is None else shape.eval()(images)
        torch.testing.assert_close(block(images), (share * 3 + (1 - share) * kept).clamp(min=0))


def test_the_shares_are_trained() -> None:
    network = build(8, convex_sums=True)
    network(torch.rand(4, 3, 32, 32)).square().sum().backward()
    shares = [parameter for name, parameter in network.named_parameters() if name.endswith("share")]
    assert len(shares) == 8
    assert all(share.grad is not None and share.grad != 0 for share in shares)


def projected_on_the_simplex(weights: list[float]) -> list[float]:
    """The algorithm of J. Duchi et al. 2008, Figure 1."""
    ordered = sorted(weights, reverse=True)
    rho = max(k for k in range(1, len(ordered) + 1) if ordered[k - 1] - (sum(ordered[:k]) - 1) / k > 0)
    theta = (sum(ordered[:rho]) - 1) / rho
    return [max(weight - theta, 0.0) for weight in weights]


@given(share=st.floats(-3, 3, width=32))
def test_project_is_the_projection_on_the_simplex(share: float) -> None:
    block = ConvexSum(BasicBlock(2, 2))
    with torch.no_grad():
        block.share.fill_(share)
    block.project()
    expected, other = projected_on_the_simplex([share, 1 - share])
    assert block.share.item() == pytest.approx(expected, abs=1e-6)
    assert 1 - block.share.item() == pytest.approx(other, abs=1e-6)


def test_bfloat16_stays_bfloat16() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        out = ConvexSum(BasicBlock(2, 2))(torch.rand(1, 2, 4, 4, dtype=torch.bfloat16))
    assert out.dtype == torch.bfloat16
