"""How far the layers of a network are from Parseval's, and how much they can amplify."""

import math
from typing import Any

import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d

from training.regularizers.parseval import matrices

__all__ = ["layer_measures", "operator_norm"]

ITERATIONS = 30


@torch.no_grad()
def layer_measures(network: nn.Module, image_shape: tuple[int, int, int]) -> dict[str, float]:
    """For each convolution and dense layer `distance_from_parseval/<layer>`, the Frobenius norm of W Wᵀ − I, or of
    Wᵀ W − I if the matrix has more rows than columns, and `operator_norm/<layer>` in L2 on inputs of the size that it
    has in this network; and `operator_norm/product` of all of them. Activations and pooling do not amplify; batch norm
    and normalization do and are not in it, so the product is a bound for plain chains without them only."""
    sizes = _input_sizes(network, image_shape)
    found: dict[str, float] = {}
    product = 1.0
    for name, weight in matrices(network).items():
        layer = network.get_submodule(name)
        norm = operator_norm(layer, sizes.get(name, ()))
        found[f"distance_from_parseval/{name}"] = _distance(weight)
        found[f"operator_norm/{name}"] = norm
        product *= norm
    return {**found, "operator_norm/product": product}


@torch.no_grad()
def operator_norm(layer: nn.Module, input_shape: tuple[int, ...]) -> float:
    """The largest singular value of the layer without its bias; of a convolution on inputs (C, H, W) of this shape, by
    30 power iterations, which approach it from below."""
    if isinstance(layer, nn.Linear):
        return float(torch.linalg.matrix_norm(layer.weight, 2))
    assert isinstance(layer, nn.Conv2d) and isinstance(layer.padding, tuple)
    how: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    generator = torch.Generator().manual_seed(0)
    point = torch.randn(1, *input_shape, generator=generator).to(layer.weight.device)
    norm = 0.0
    for _ in range(ITERATIONS):
        length = float(torch.linalg.vector_norm(point))
        if not length > 0:
            return 0.0
        output = conv2d(point / length, layer.weight, None, groups=layer.groups, **how)
        norm = float(torch.linalg.vector_norm(output))
        point = _adjoint(output, layer, input_shape, how)
    return norm


def _adjoint(output: torch.Tensor, layer: nn.Conv2d, input_shape: tuple[int, ...], how: dict[str, Any]) -> torch.Tensor:
    covered = conv_transpose2d(output, layer.weight, None, groups=layer.groups, **how).shape[-2:]
    missing = [side - got for side, got in zip(input_shape[-2:], covered, strict=True)]  # a stride may skip the border
    return conv_transpose2d(output, layer.weight, None, groups=layer.groups, output_padding=missing, **how)


def _distance(weight: torch.Tensor) -> float:
    matrix = weight.reshape(len(weight), -1)
    gram = matrix @ matrix.t() if matrix.shape[0] <= matrix.shape[1] else matrix.t() @ matrix
    return math.sqrt(float((gram - torch.eye(len(gram), device=gram.device)).square().sum()))


def _input_sizes(network: nn.Module, image_shape: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
    """The shape of the input of each convolution, (C, H, W), by its name; the network is left in its mode."""
    sizes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Any:
        return lambda _, inputs: sizes.__setitem__(name, tuple(inputs[0].shape[1:]))

    hooks = [
        layer.register_forward_pre_hook(note(name))
        for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)
    ]  # fmt: skip
    modes = [(layer, layer.training) for layer in network.modules()]
    try:
        device = next(network.parameters()).device
        network.eval()(torch.zeros(1, *image_shape, device=device))
    finally:
        for hook in hooks:
            hook.remove()
        for layer, mode in modes:
            layer.training = mode
    return sizes
