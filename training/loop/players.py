"""A trained network with its own optimizer and update frequency, and hooks that run after each of its steps."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn

from training.loop.ranks import Ranks

__all__ = ["Player", "StepHook", "has_batch_norm"]


class StepHook(Protocol):
    """Runs after the optimizer's step of a player: a moving average, Parseval's retraction, weight clipping."""

    def step(self) -> None: ...


class Player:
    """`network` is updated in every `every`-th step of the training. `hooks` run after each step of the optimizer, in
    order. A gradient whose norm exceeds `max_gradient_norm` is scaled down to it."""

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, every: int = 1, hooks: Sequence[StepHook] = (),
        max_gradient_norm: float | None = None,
    ) -> None:  # fmt: skip
        self.network = network
        self.optimizer = optimizer
        self.every = every
        self.hooks = hooks
        self.max_gradient_norm = max_gradient_norm
        self._parameters = list(network.parameters())

    def learns_at(self, steps_taken: int) -> bool:
        """Whether it is updated in the step that follows `steps_taken` steps: with every=5 in the fifth, the tenth,
        …"""
        return (steps_taken + 1) % self.every == 0

    def learn(self, loss: torch.Tensor, ranks: Ranks | None = None) -> None:
        """One step of the optimizer along the gradient of `loss`. With `ranks`, gradients are computed for the
        parameters of this network only and averaged over the ranks; without, they are those of backward, which
        DistributedDataParallel has already averaged."""
        self.optimizer.zero_grad()
        own = [parameter for parameter in self._parameters if parameter.requires_grad]
        torch.autograd.backward(loss, inputs=own if ranks else None)
        if ranks:
            ranks.average_gradients(self.network)
        if self.max_gradient_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, self.max_gradient_norm)
        self.optimizer.step()
        for hook in self.hooks:
            hook.step()

    def gradient_norm(self) -> float | None:
        """The norm of the latest gradient, or None before the first one. Waits for the device."""
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        return float(nn.utils.get_total_norm(gradients)) if gradients else None

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules())
