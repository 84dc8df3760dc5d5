"""The moving average of a network's weights over its training."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

__all__ = ["MovingAverage"]

EVERY = 10
"""Steps of the network for one of the average, which takes as long to write as a third of an optimizer's step."""


class MovingAverage:
    """average ← d · average + (1 − d) · weights, with d = decay^10 once in ten steps, of weights and running statistics
    alike. At the beginning d is at most u / (u + 10) after u updates, so that the initial weights are soon forgotten.
    With decay 0 it is the network as it is."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0
        self._from = [*network.parameters(), *(_floats(network.buffers()))]
        self._into = [*self.network.parameters(), *(_floats(self.network.buffers()))]

    @torch.no_grad()
    def step(self) -> None:
        """After each step of the network."""
        if self.decay and self.steps % EVERY == 0:
            updates = self.steps // EVERY
            weight = 1 - min(self.decay**EVERY, updates / (updates + 10))
            torch._foreach_lerp_(self._into, self._from, weight)
        self.steps += 1

    def current(self) -> nn.Module:
        """In evaluation mode."""
        if self.decay == 0:
            torch._foreach_copy_(self._into, self._from)
        return self.network

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "steps": self.steps}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.steps = state["steps"]


def _floats(buffers: Any) -> list[torch.Tensor]:
    return [buffer for buffer in buffers if buffer.is_floating_point()]
