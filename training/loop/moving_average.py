"""The moving average of a network's weights over its training."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

__all__ = ["MovingAverage"]

EVERY = 10
"""Steps of the network per update of the average. An update takes about a third of the time of an optimizer step."""


class MovingAverage:
    """average ← d · average + (1 − d) · weights, with d = decay^10, once in ten steps, for weights and running
    statistics alike. Early in training d is at most u / (u + 10) after u updates, so that the initial weights soon lose
    their influence. With decay 0 it is the current network."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0
        self._from = [*network.parameters(), *(_floats(network.buffers()))]
        self._into = [*self.network.parameters(), *(_floats(self.network.buffers()))]

    @torch.no_grad()
    def step(self) -> None:
        """To be called after each step of the network."""
        if self.decay and self.steps % EVERY == 0:
            updates = self.steps // EVERY
            weight = 1 - min(self.decay**EVERY, updates / (updates + 10))
            torch._foreach_lerp_(self._into, self._from, weight)
        self.steps += 1

    def current(self) -> nn.Module:
        """The averaged network, in evaluation mode."""
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
