"""Whether this processor computes a network in bfloat16 rightly. Some do not: the weights' gradient of a convolution of
stride 2 on 1 × 1 images is what lay in memory before on an Intel Xeon (oneDNN 3.10, AVX-512 and AMX)."""

import copy

import torch
from torch import nn

from pipelines.errors import SettingsError
from training.loop.machine import machine_facts
from training.loop.ranks import Ranks

__all__ = ["check_bfloat16"]

MOST_ERROR = 0.1
"""Of a layer's result: the norm of the difference from float32, in norms of float32's. bfloat16 alone makes 0.01."""
FILLINGS = (-1, 0x3F80)
"""What free memory is filled with, as int16: NaN, and 1 in bfloat16. Read as float32 they are NaN and about 1 too."""


def check_bfloat16(ranks: Ranks, network: nn.Module, *inputs: torch.Tensor) -> None:
    """Forward and backward of every convolution and dense layer on what it gets when `network` is given `inputs`:
    finite, near float32's result, and the same bits whatever free memory holds. Does nothing on a GPU or in float32.
    Raises SettingsError, which names the layer."""
    if ranks.device.type != "cpu" or ranks.dtype != torch.bfloat16:
        return
    for layer, given in _layers(network, inputs):
        exact = _results(layer, given, torch.float32, FILLINGS[0])
        rough = [_results(layer, given, torch.bfloat16, filling) for filling in FILLINGS]
        for name, expected in exact.items():
            if fault := _fault(expected, *(results[name] for results in rough)):
                raise SettingsError(
                    f"precision=bfloat16: this processor ({machine_facts()['machine.cpu']}) computes {layer} on "
                    f"{tuple(given.shape)} wrongly: its {name} {fault}; use precision=float32"
                )


def _layers(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> list[tuple[nn.Module, torch.Tensor]]:
    """Copies of them, each with its input in float32. `network` stays as it is, as do torch's random numbers."""
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
    """Of every size up to 4 MB, so that whoever reads memory before writing to it finds this. It needs an allocator
    that keeps what is freed (training.distributed.keep_freed_memory)."""
    held = [torch.full((1 << power,), filling, dtype=torch.int16) for power in range(5, 22) for _ in range(4)]
    del held


def _fault(exact: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> str | None:
    if not (first.isfinite().all() and second.isfinite().all()):
        return "is NaN or infinite"
    if not torch.equal(first, second):
        return "depends on what was in memory before"
    error = float((first - exact).norm() / exact.norm().clamp_min(torch.finfo(torch.float32).tiny))
    return f"is {error:.0%} away from float32's" if error > MOST_ERROR else None
