"""The activations of a network's layers while it predicts."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["Load", "measure_load", "watched"]

ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Sigmoid,
    nn.Tanh,
)  # fmt: skip
Look = Callable[[str, torch.Tensor], torch.Tensor | None]


@dataclass(frozen=True)
class Load:
    """`mass` (units,): the sum of |activation| over images and positions. A unit is a channel of a convolution or a
    neuron of a dense layer."""

    mass: NDArray[np.float64]

    @property
    def units(self) -> int:
        return len(self.mass)

    @property
    def dead(self) -> int:
        """Units that are 0 for every image."""
        return int((self.mass == 0).sum())

    @property
    def entropy(self) -> float:
        """−Σ p ln p / ln(units) of the shares p of the mass: 1 if all units carry the same, 0 if one carries all. NaN
        for a layer without mass or of one unit."""
        total = self.mass.sum()
        if not total or self.units == 1:
            return math.nan
        shares = self.mass[self.mass > 0] / total
        return float(-(shares * np.log(shares)).sum() / math.log(self.units))

    def heaviest(self, count: int) -> NDArray[np.int64]:
        """The units of the largest mass, the first ones of equal mass."""
        return np.argsort(-self.mass, kind="stable")[:count]


@contextmanager
def watched(network: nn.Module, look: Look) -> Iterator[None]:
    """`look(layer, output)` is called for each activation (N, units) or (N, units, …) of a forward pass; a tensor that
    it returns takes the output's place. A layer that is used several times in a pass has the names relu, relu#2, …
    Functions such as torch.relu are not seen."""
    calls: Counter[str] = Counter()

    def seeing(name: str) -> Callable[..., torch.Tensor | None]:
        def see(_: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor | None:
            calls[name] += 1
            return look(name if calls[name] == 1 else f"{name}#{calls[name]}", output)

        return see

    hooks = [network.register_forward_pre_hook(lambda *_: calls.clear())]
    hooks += [
        layer.register_forward_hook(seeing(name))
        for name, layer in network.named_modules()
        if isinstance(layer, ACTIVATIONS)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def measure_load(network: nn.Module, batches: Iterable[torch.Tensor]) -> dict[str, Load]:
    """The load of each layer, in the order of a forward pass, over batches of images (N, C, S, S) in [0, 1]."""
    masses: dict[str, torch.Tensor] = {}

    def add(layer: str, output: torch.Tensor) -> None:
        mass = output.detach().abs().double().sum([axis for axis in range(output.dim()) if axis != 1]).cpu()
        masses[layer] = masses[layer] + mass if layer in masses else mass

    with torch.no_grad(), watched(network, add):
        for images in batches:
            network(images)
    return {layer: Load(mass.numpy()) for layer, mass in masses.items()}
