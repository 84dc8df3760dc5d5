"""The contract of GANs: a frozen settings object that builds the two players and defines their losses."""

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
from pydantic import Field, PlainSerializer, PlainValidator
from torch import nn

from pipelines.errors import SettingsError
from pipelines.settings import Settings, choose, describe
from training.gans.latents import LATENTS, Gaussian, Latent
from training.gans.losses import LOSSES, AdversarialLoss, LossName

__all__ = ["RGB", "GanArchitecture", "GeneratorLossInputs", "Players"]

RGB = 3


def _latent(given: object) -> Any:
    return given if isinstance(given, Latent) else choose(LATENTS, given)


class Players(NamedTuple):
    """`generator`: (latent (N, …), labels (N,)) → images (N, C, S, S) in [-1, 1]. `discriminator`: (images, labels) →
    (N,), a logit or a critic's value, large for real images. Unconditional players ignore the labels."""

    generator: nn.Module
    discriminator: nn.Module


class GeneratorLossInputs(NamedTuple):
    """The inputs of the generator's loss: the discriminator's `values` (N,) for the images `made` (N, C, S, S) in [-1,
    1] from `latent` for `labels`, and the fixed classifier if there is one."""

    values: torch.Tensor
    latent: torch.Tensor
    made: torch.Tensor
    labels: torch.Tensor
    classifier: nn.Module | None = None


class GanArchitecture(Settings):
    """The settings of the architecture, its loss and its latent; `build` makes the networks.

    `n_critic`: the discriminator is updated in each step, the generator in every n_critic-th. `penalty`: the weight of
    the gradient penalty, which the Wasserstein critic needs."""

    kind: ClassVar[str]
    min_size_px: ClassVar[int] = 1
    generator_parts: ClassVar[tuple[str, ...]] = ()
    """Names of the terms of the generator's loss, if there is more than one."""
    conditional: bool = False
    latent: Annotated[Latent, PlainValidator(_latent), PlainSerializer(describe)] = Gaussian()
    loss: LossName = "bce"
    n_critic: int = Field(default=1, ge=1)
    penalty: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @abstractmethod
    def make_generator(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        """`num_classes` is 0 if the GAN is unconditional; `channels` are those of the images."""

    @abstractmethod
    def make_discriminator(self, size_px: int, num_classes: int, channels: int) -> nn.Module: ...

    @property
    def losses(self) -> AdversarialLoss:
        return LOSSES[self.loss]

    @property
    def fools(self) -> str | None:
        """The fixed classifier that the generator learns to fool, as a reference for training.tracking.find_models."""
        return None

    def generator_losses(self, seen: GeneratorLossInputs) -> dict[str, torch.Tensor]:
        """Per image (N,): "generator", which is minimized, and each of `generator_parts`."""
        return {"generator": self.losses.generator(seen.values)}

    def build(self, size_px: int, num_classes: int, seed: int, channels: int = RGB) -> Players:
        """Both players, with initial weights drawn from `seed` alone. Raises SettingsError."""
        if size_px < self.min_size_px:
            raise SettingsError(f"data.size_px={size_px}: {self.kind} needs at least {self.min_size_px}")
        if channels != RGB and self.latent.is_image:
            raise SettingsError(f"gan.latent={self.latent.kind}: has three channels, the images have {channels}")
        classes = num_classes if self.conditional else 0
        with torch.random.fork_rng(devices=[]):  # torch initializes from its global generator and from no other
            torch.manual_seed(seed)
            return Players(
                self.make_generator(size_px, classes, channels), self.make_discriminator(size_px, classes, channels)
            )
