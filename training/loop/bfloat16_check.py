"""Checks whether this processor computes a network correctly in bfloat16. Some do not: on an Intel Xeon (oneDNN 3.10,
AVX-512 and AMX) the weight gradient of a convolution of stride 2 on 1 × 1 images consists of uninitialized memory."""

import copy

import torch
from torch import nn

from pipelines.errors import SettingsError
from training.loop.machine import machine_facts
from training.loop.ranks import Ranks

__all__ = ["check_bfloat16"]

MAX_ERROR = 0.1
"""Upper bound on the relative error of a layer's result: the norm of its difference from float32, divided by the norm
of the float32 result. bfloat16 alone has an error of 0.01."""
FILLINGS = (-1, 0x3F80)
"""Values that fill free memory, as int16: NaN, and 1 in bfloat16. Read as float32 they are NaN and about 1 too."""

COPIES = {power: 64 if power < 16 else 4 for power in range(5, 22)}
"""How many blocks of 2^power values are filled."""


def check_bfloat16(ranks: Ranks, network: nn.Module, *inputs: torch.Tensor) -> None:
    """Runs forward and backward of every convolution and dense layer on the input that it gets when `network` is given
    `inputs`. Results must be finite, close to float32's, and bitwise the same whatever free memory contains. Does
    nothing on a GPU or in float32. Raises SettingsError, which names the layer."""
    if ranks.device.type != "cpu" or ranks.dtype != torch.bfloat16:
        return
    for layer, given in _layers(network, inputs):
        exact = _results(layer, given, torch.float32, FILLINGS[0])
        rough = [_results(layer, given, torch.bfloat16, filling) for filling in FILLINGS]
        for name, expected in exact.items():
            if fault := _fault(expected, *(results[name] for results in rough)):
                raise SettingsError(
                    f"precision=bfloat16: this processor ({machine_facts()['machine.cpu']}) computes {layer} on "
                    f"{tuple(given.shape)} incorrectly: its {name} {fault}; use precision=float32"
                )


def _layers(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> list[tuple[nn.Module, torch.Tensor]]:
    """Copies of the layers, each with its input in float32. Neither `network` nor torch's random state changes."""
    twin = copy.deepcopy(network).eval()  # without dropout, and with spectral norms that do not move
    found: list[tuple[nn.Module, torch.Tensor]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, given, _: found.append((layer, given[0].detach().clone())))
        for layer in twin.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
    with torch.no_grad():
        twin(*inputs)
    for hook in hooks:
        hook.remove()
    return found


def _results(layer: nn.Module, given: torch.Tensor, dtype: torch.dtype, filling: int) -> dict[str, torch.Tensor]:
    """The output and every gradient, by name."""
    given = given.clone().requires_grad_()
    parameters = dict(layer.named_parameters())
    _fill_free_memory(filling)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        output = layer(given)
    weights = torch.rand(output.shape, generator=torch.Generator().manual_seed(0)).add_(0.5).bfloat16()
    _fill_free_memory(filling)
    gradients = torch.autograd.grad(output, [given, *parameters.values()], weights.to(output.dtype))
    names = ["input's gradient", *(f"{name}'s gradient" for name in parameters)]
    return {"output": output.detach().float(), **dict(zip(names, gradients, strict=True))}


def _fill_free_memory(filling: int) -> None:
    """Fills free memory blocks of every size up to 4 MB, so that code that reads uninitialized memory finds this value.
    Needs an allocator that keeps freed memory (ranks.keep_freed_memory). There can be many free blocks of a small
    size."""
    held = [
        torch.full((1 << power,), filling, dtype=torch.int16) for power in range(5, 22) for _ in range(COPIES[power])
    ]
    del held


def _fault(exact: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> str | None:
    if not (first.isfinite().all() and second.isfinite().all()):
        return "is NaN or infinite"
    if not torch.equal(first, second):
        return "depends on what was in memory before"
    error = float((first - exact).norm() / exact.norm().clamp_min(torch.finfo(torch.float32).tiny))
    return f"is {error:.0%} away from float32's" if error > MAX_ERROR else None
