"""The layers against their matrices, and the constant of whole networks against attacks on it."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from pydantic import ValidationError
from torch import nn

from training.models.aol_cnn import AolCnn, AolConv2d, AolLinear, MaxMin, PadTo
from training.models.baseline_cnn import BaselineCnn

MEAN, STD = (0.3,) * 3, (0.2,) * 3


def drawn(layer: nn.Conv2d | nn.Linear, seed: int, scale: float) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.weight.copy_(scale * torch.randn(layer.weight.shape, generator=generator))
    return layer


def matrix_of(layer: nn.Module, shape: tuple[int, ...]) -> torch.Tensor:
    """The linear part of a layer as a matrix, from the images of the unit vectors."""
    count = int(np.prod(shape))
    origin = layer(torch.zeros(1, *shape))
    return (layer(torch.eye(count).view(count, *shape)) - origin).detach().flatten(1).t()


@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99), st.floats(0.01, 100))
def test_a_dense_layer_has_an_operator_norm_of_at_most_1(inputs: int, outputs: int, seed: int, scale: float) -> None:
    layer = drawn(AolLinear(inputs, outputs), seed, scale)
    assert torch.linalg.matrix_norm(matrix_of(layer, (inputs,)), 2) <= 1 + 1e-5


@settings(max_examples=15)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 99), st.sampled_from([1, 3, 5]))
def test_a_convolution_has_an_operator_norm_of_at_most_1(inputs: int, outputs: int, seed: int, side: int) -> None:
    layer = drawn(AolConv2d(inputs, outputs), seed, 1.0)
    assert torch.linalg.matrix_norm(matrix_of(layer, (inputs, side, side)), 2) <= 1 + 1e-5


def test_orthogonal_weights_are_left_as_they_are() -> None:
    dense, convolution = AolLinear(4, 6), AolConv2d(4, 6)
    torch.testing.assert_close(dense.rescaled(), dense.weight)
    torch.testing.assert_close(convolution.rescaled(), convolution.weight)
    assert float(torch.linalg.matrix_norm(matrix_of(convolution, (4, 3, 3)), 2)) == pytest.approx(1, abs=1e-5)


def test_the_rescaling_of_two_columns_is_that_of_the_theorem() -> None:
    layer = AolLinear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 0.0], [4.0, 2.0]]))
    # PᵀP = [[25, 8], [8, 4]]
    expected = layer.weight * torch.tensor([33.0, 12.0]).rsqrt()
    torch.testing.assert_close(layer.rescaled(), expected)


def test_an_input_without_weights_is_no_division_by_zero() -> None:
    layer = AolLinear(2, 2)
    with torch.no_grad():
        layer.weight[:, 0] = 0
    layer(torch.ones(1, 2)).sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.isfinite().all()


def test_max_min_sorts_pairs_and_padding_adds_black() -> None:
    values = torch.tensor([[1.0, 5.0, 3.0, 2.0]])
    assert MaxMin()(values).tolist() == [[3.0, 5.0, 1.0, 2.0]]
    padded = PadTo(8)(torch.ones(1, 3, 5, 5))
    assert padded.shape == (1, 3, 8, 8) and padded.sum() == 75


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("normalization", ["none", "train"])
def test_no_pair_of_images_is_amplified_by_more_than_the_constant(seed: int, normalization: str) -> None:
    """Jacobians at random images, and pairs of images; with large weights, which would amplify without rescaling."""
    model = AolCnn(widths=(4, 4, 4), dense=8, normalization=normalization)
    network = model.build(11, 5, MEAN, STD, seed).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    constant = model.lipschitz_constant(network)
    assert constant == pytest.approx(1 if normalization == "none" else 5)
    images = torch.rand(6, 3, 11, 11, generator=torch.Generator().manual_seed(seed))
    for image in images:
        jacobian = torch.autograd.functional.jacobian(lambda one: network(one[None])[0], image)
        norm = torch.linalg.matrix_norm(jacobian.flatten(1), 2)
        assert 1e-4 < norm <= constant * (1 + 1e-4)
    distances, moved = torch.pdist(images.flatten(1)), torch.pdist(network(images).detach())
    assert (moved <= constant * distances * (1 + 1e-4)).all()


def test_odd_widths_are_refused_and_other_models_have_no_constant() -> None:
    with pytest.raises(ValidationError, match="even"):
        AolCnn(widths=(16, 31, 64))
    model = BaselineCnn()
    assert model.lipschitz_constant(model.build(16, 5, MEAN, STD, 0)) is None


def test_another_library_finds_no_greater_constant(capsys: pytest.CaptureFixture[str]) -> None:
    """deel-torchlip's Jacobians, noise and attack at images; it prints what it finds."""
    from deel.torchlip import GroupSort2
    from deel.torchlip.utils import evaluate_lip_const

    torch.manual_seed(0)
    network = AolCnn(widths=(4, 4, 4), dense=8).build(8, 5, MEAN, STD, 0).eval()
    found = evaluate_lip_const(network, torch.rand(4, 3, 8, 8), evaluation_type="all")
    assert 0 < found <= 1 + 1e-4, capsys.readouterr().out
    values = torch.randn(3, 8)
    pairs = GroupSort2()(values.view(3, 2, 4).transpose(1, 2).reshape(3, 8)).view(3, 4, 2)
    torch.testing.assert_close(MaxMin()(values), torch.cat([pairs[..., 1], pairs[..., 0]], dim=1))
