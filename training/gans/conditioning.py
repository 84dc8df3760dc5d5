"""The embedding of a class, which can be faded in, and the schedule by which it is."""

from collections.abc import Iterable
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from pipelines.settings import Settings

__all__ = ["ClassEmbedding", "Transition", "fade_classes", "fixed_classes"]


class Transition(Settings):
    """Transitional training: a conditional GAN begins as an unconditional one, and the class is faded in (M. Shahbazi
    et al., "Collapse by conditioning: training class-conditional GANs with limited data", ICLR 2022, section 4).

    The embedding of the class is multiplied by λ(t) = min(max((t − start) / (end − start), 0), 1) (equation 3), in the
    generator and in the discriminator. The paper fades the discriminator's conditional loss; here it is its embedding,
    so that one loss serves every GAN. `start` and `end` are numbers of finished epochs or of steps, after `unit`."""

    start: float = Field(ge=0, allow_inf_nan=False)
    end: float = Field(gt=0, allow_inf_nan=False)
    unit: Literal["epochs", "steps"] = "epochs"

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"end must be greater than start, got start={self.start:g} and end={self.end:g}")
        return self

    def share(self, steps_taken: int, steps_per_epoch: int) -> float:
        """λ after `steps_taken` steps, in [0, 1]."""
        taken = steps_taken if self.unit == "steps" else steps_taken / steps_per_epoch
        return min(max((taken - self.start) / (self.end - self.start), 0.0), 1.0)


class ClassEmbedding(nn.Embedding):
    """Labels (N,) → share · embedding (N, features), float32. `share` is 1 except during a transition, and is not
    part of the weights."""

    share: float = 1.0

    def forward(self, labels: torch.Tensor) -> torch.Tensor:
        vectors = super().forward(labels)
        return vectors if self.share == 1 else vectors * self.share


def fade_classes(networks: Iterable[nn.Module], share: float) -> None:
    """Sets the share of every embedding of classes in `networks`."""
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, ClassEmbedding):
                layer.share = share


@torch.no_grad()
def fixed_classes(network: nn.Module) -> nn.Module:
    """`network`, changed so that its embeddings of classes are those of their present share, at a share of 1."""
    for layer in network.modules():
        if isinstance(layer, ClassEmbedding):
            layer.weight.mul_(layer.share)
            layer.share = 1.0
    return network
