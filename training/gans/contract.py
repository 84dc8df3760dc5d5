"""The contract of GANs: a frozen settings object that builds the two players and defines their losses."""

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import torch
from pydantic import Field, PlainSerializer, PlainValidator, model_validator
from torch import nn

from pipelines.errors import SettingsError
from pipelines.settings import AddedLater, Settings, choose, describe
from training.gans.conditioning import Transition
from training.gans.diff_augment import DiffAugment
from training.gans.latents import LATENTS, Gaussian, Latent
from training.gans.losses import LOSSES, AdversarialLoss, LossName
from training.gans.verdict import Verdict, normalize_spectra

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
    1] from `latent` for `labels`, and the fixed classifier if there is one. For a paired loss, `values` are less those
    of the real images."""

    values: torch.Tensor
    latent: torch.Tensor
    made: torch.Tensor
    labels: torch.Tensor
    classifier: nn.Module | None = None


class GanArchitecture(Settings):
    """The settings of the architecture, its loss and its latent; `build` makes the networks.

    `n_critic`: the discriminator is updated in each step, the generator in every n_critic-th. `penalty`: the weight of
    the gradient penalty, which the Wasserstein critic needs.

    Remedies against collapse: `transition` fades the class in; `augment` is applied to the images that the
    discriminator sees; `r1` and `r2` are γ of (γ / 2) ‖∇ D(x)‖² on real and on generated images (L. Mescheder et al.,
    "Which training methods for GANs do actually converge?", ICML 2018, equation 9), in every `penalty_every`-th step of
    the discriminator, and as many times as strong (T. Karras et al., "Analyzing and improving the image quality of
    StyleGAN", 2020, section 3.1); `minibatch_std` shows the discriminator how varied a batch is; `projection` gives it
    the class by an inner product; `spectral_norm` divides its weights by their largest singular values."""

    kind: ClassVar[str]
    min_size_px: ClassVar[int] = 1
    generator_parts: ClassVar[tuple[str, ...]] = ()
    """Names of the terms of the generator's loss, if there is more than one."""
    conditional: bool = False
    latent: Annotated[Latent, PlainValidator(_latent), PlainSerializer(describe)] = Gaussian()
    loss: LossName = "bce"
    n_critic: int = Field(default=1, ge=1)
    penalty: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    transition: Annotated[Transition | None, AddedLater(before=None)] = None
    augment: Annotated[DiffAugment | None, AddedLater(before=None)] = None
    r1: Annotated[float, AddedLater(before=0.0)] = Field(default=0.0, ge=0, allow_inf_nan=False)
    r2: Annotated[float, AddedLater(before=0.0)] = Field(default=0.0, ge=0, allow_inf_nan=False)
    penalty_every: Annotated[int, AddedLater(before=1)] = Field(default=1, ge=1)
    minibatch_std: Annotated[bool, AddedLater(before=False)] = False
    projection: Annotated[bool, AddedLater(before=False)] = False
    spectral_norm: Annotated[bool, AddedLater(before=False)] = False

    @model_validator(mode="after")
    def _classes_for_remedies(self) -> Self:
        for name in ("transition", "projection"):
            if getattr(self, name) and not self.conditional:
                raise ValueError(f"{name}: is of conditional GANs; set gan.conditional=true, or use gan=conditional")
        return self

    @abstractmethod
    def make_generator(self, size_px: int, num_classes: int, channels: int) -> nn.Module:
        """`num_classes` is 0 if the GAN is unconditional; `channels` are those of the images."""

    @abstractmethod
    def make_discriminator(self, size_px: int, num_classes: int, channels: int) -> nn.Module: ...

    @property
    def losses(self) -> AdversarialLoss:
        return LOSSES[self.loss]

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.projection, self.minibatch_std)

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
            generator = self.make_generator(size_px, classes, channels)
            discriminator = self.make_discriminator(size_px, classes, channels)
            if self.spectral_norm:
                normalize_spectra(discriminator)
            return Players(generator, discriminator)
