"""How a classifier's weights are updated: the optimizer and its learning rate over the steps."""

import math
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator

from pipelines.settings import AddedLater, Settings

__all__ = ["Optimization"]


class Optimization(Settings):
    """`optimizer: adamw` (I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019) is Adam without
    weight_decay. `sgd` is stochastic gradient descent as in PyTorch, with `momentum`, of Nesterov's kind if `nesterov`;
    its weight_decay is added to the gradient.

    The learning rate is `lr` throughout; with "one_cycle" it rises linearly to `lr` during `warmup_fraction` of all
    steps and then falls to zero along a cosine; with "steps" it is multiplied by `lr_step_factor` after each of the
    numbers of epochs in `lr_steps`."""

    epochs: int = Field(ge=1)
    lr: float = Field(gt=0, allow_inf_nan=False)
    schedule: Literal["constant", "one_cycle", "steps"]
    warmup_fraction: float = Field(default=0.2, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    optimizer: Annotated[Literal["adamw", "sgd"], AddedLater(before="adamw")] = "adamw"
    momentum: Annotated[float, AddedLater(before=0.0)] = Field(default=0.0, ge=0, lt=1)
    nesterov: Annotated[bool, AddedLater(before=False)] = False
    lr_steps: Annotated[tuple[int, ...], AddedLater(before=())] = ()
    lr_step_factor: Annotated[float, AddedLater(before=0.1)] = Field(default=0.1, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _nothing_is_without_effect(self) -> Self:
        if self.momentum and self.optimizer != "sgd":
            raise ValueError("momentum: needs optimizer=sgd, since AdamW has moments of its own; or set momentum=0")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: needs optimizer=sgd and a momentum, e.g. momentum=0.9; or set nesterov=false")
        if bool(self.lr_steps) != (self.schedule == "steps"):
            raise ValueError("lr_steps: belongs to schedule=steps; give both, e.g. lr_steps=[10,20], or lr_steps=[]")
        if list(self.lr_steps) != sorted(set(self.lr_steps)) or any(at < 1 for at in self.lr_steps):
            raise ValueError(f"lr_steps: expected rising numbers of epochs from 1, got {list(self.lr_steps)}")
        return self

    def lr_at(self, progress: float) -> float:
        """The learning rate after `progress` in [0, 1) of all steps."""
        if self.schedule == "constant":
            return self.lr
        if self.schedule == "steps":
            return self.lr * self.lr_step_factor ** sum(progress >= at / self.epochs for at in self.lr_steps)
        if progress < self.warmup_fraction:
            return self.lr * progress / self.warmup_fraction
        falling = (progress - self.warmup_fraction) / (1 - self.warmup_fraction)
        return self.lr * (1 + math.cos(math.pi * falling)) / 2

    def optimizer_of(self, parameters: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimizer of groups of parameters."""
        if self.optimizer == "sgd":
            return torch.optim.SGD(
                parameters, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, weight_decay=self.weight_decay
            )
        return torch.optim.AdamW(parameters, lr=self.lr, weight_decay=self.weight_decay)
