"""A body that at first is not trained at all, or learns more slowly than the head: for networks that start from the
weights of another training."""

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["freeze_body", "parameter_groups", "stages"]

Stage = list[nn.Module]


def stages(network: nn.Sequential) -> list[Stage]:
    """The layers and blocks of layers that have parameters, from the images to the classes; a batch norm belongs to the
    layer before it. The last one is the head, the others are the body."""
    found: list[Stage] = []
    for layer in _within(network[1].children()):
        if next(layer.parameters(), None) is None:
            continue
        if isinstance(layer, _BatchNorm) and found:
            found[-1].append(layer)
        else:
            found.append([layer])
    return found


def parameter_groups(network: nn.Sequential, lr_decay_per_depth: float) -> list[dict[str, Any]]:
    """Groups for an optimizer: those of a stage that is n stages below the head have the learning rate of the schedule
    times lr_decay_per_depth ** n, which is their `lr_scale`."""
    if lr_decay_per_depth == 1:
        return [{"params": list(network.parameters()), "lr_scale": 1.0}]
    every = stages(network)
    return [
        {
            "params": [parameter for layer in stage for parameter in layer.parameters()],
            "lr_scale": lr_decay_per_depth ** (len(every) - 1 - number),
        }
        for number, stage in enumerate(every)
    ]


def freeze_body(network: nn.Sequential, frozen: bool) -> None:
    """Frozen, the parameters of the body have no gradient, and its layers compute as in evaluation: batch norms leave
    their running statistics alone, dropout does nothing. To be called after network.train()."""
    for stage in stages(network)[:-1]:
        for layer in stage:
            layer.requires_grad_(not frozen)
            layer.train(not frozen)


def _within(layers: Iterator[nn.Module]) -> Iterator[nn.Module]:
    for layer in layers:
        if isinstance(layer, nn.Sequential):
            yield from _within(layer.children())
        else:
            yield layer
