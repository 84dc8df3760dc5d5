"""One step of a GAN: an update of the discriminator, and in some steps of the generator."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import nn

from training.gans import GanArchitecture, GeneratorLossInputs, Players
from training.gans.diff_augment import DRAWS
from training.gans.losses import gradient_penalty, squared_gradients
from training.gans.verdict import mixes_images
from training.loop.players import Player
from training.loop.ranks import Ranks

__all__ = ["GanInputs", "GanStep", "augmentation_draws", "loss_names"]

SHOWINGS = 4
"""A discriminator is shown images up to four times in a step, each time augmented anew: real and generated ones to
learn from, generated ones to teach the generator, and real ones to compare these with."""


class GanInputs(NamedTuple):
    """The inputs of both players in one step, on the device: `real` (N, C, S, S) in [-1, 1], their `labels` (N,),
    `latent` (N, …), and for the gradient penalty `share` (N,) in [0, 1).

    The first `valid` real images are not padding. `weight` times the sum over them, averaged over the ranks, is the
    mean over the valid images of all ranks. `augmentation` (SHOWINGS, N, DRAWS) are the draws of DiffAugment. R1 and R2
    are computed only if `penalized`."""

    real: torch.Tensor
    labels: torch.Tensor
    latent: torch.Tensor
    share: torch.Tensor
    valid: int
    weight: float
    augmentation: torch.Tensor | None = None
    penalized: bool = False


class GanStep:
    """Generated images have the labels of the real ones, so that classes are equally frequent in both."""

    def __init__(
        self, gan: GanArchitecture, players: Players, learners: Mapping[str, Player], ranks: Ranks,
        classifier: nn.Module | None,
    ) -> None:  # fmt: skip
        self.gan = gan
        self.players = players
        self.learners = learners
        self.ranks = ranks
        self.classifier = classifier
        self._apart = mixes_images(players.discriminator)

    def __call__(self, given: GanInputs, generator_learns: bool) -> dict[str, torch.Tensor]:
        """The mean losses by name, as in loss_names; those of the generator only if it learns, R1 and R2 only if they
        are due. Raises SettingsError if the discriminator has no gradient to penalize."""
        with torch.set_grad_enabled(generator_learns), self.ranks.precision():
            made = self.players.generator(given.latent, given.labels).float()
        losses = self._teach_discriminator(given, made.detach())
        if generator_learns:
            losses |= self._teach_generator(given, made)
        return losses

    def _teach_discriminator(self, given: GanInputs, made: torch.Tensor) -> dict[str, torch.Tensor]:
        gan, own = self.gan, slice(given.valid)
        penalized = given.penalized and (gan.r1 > 0 or gan.r2 > 0)
        begun = [images.detach().requires_grad_(penalized) for images in (given.real, made)]
        real, made = (self._augmented(images, given, showing) for showing, images in enumerate(begun))
        of_real, of_made = self._judge(real, made, given.labels, nullcontext() if penalized else self.ranks.precision())
        compared = of_real - of_made if gan.losses.paired else of_real
        loss = gan.losses.real(compared[own]).sum() * given.weight + gan.losses.fake(of_made).mean()
        losses = {"discriminator": loss.detach()}
        if gan.penalty:
            penalties = gradient_penalty(
                self.players.discriminator, real.detach()[own], made.detach()[own], given.labels[own], given.share[own]
            )
            losses["penalty"] = penalties.sum() * given.weight
            loss = loss + gan.penalty * losses["penalty"]
        if penalized:
            of_real, of_made = squared_gradients([of_real, of_made], begun)
            losses |= {"r1": of_real[own].sum() * given.weight, "r2": of_made.mean()}
            loss = loss + gan.penalty_every / 2 * (gan.r1 * losses["r1"] + gan.r2 * losses["r2"])
        self.learners["discriminator"].learn(loss, self.ranks)
        return {name: each.detach() for name, each in losses.items()}

    def _augmented(self, images: torch.Tensor, given: GanInputs, showing: int) -> torch.Tensor:
        if self.gan.augment is None or given.augmentation is None:
            return images
        return self.gan.augment(images, given.augmentation[showing])

    def _judge(
        self,
        real: torch.Tensor,
        made: torch.Tensor,
        labels: torch.Tensor,
        precision: AbstractContextManager[object],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The discriminator's values of the real and of the generated images: in one pass, unless one image's value
        depends on the others."""
        discriminator = self.players.discriminator
        with precision:
            if self._apart:
                return discriminator(real, labels).float(), discriminator(made, labels).float()
            values = discriminator(torch.cat([real, made]), labels.repeat(2)).float()
        of_real, of_made = values.chunk(2)
        return of_real, of_made

    def _teach_generator(self, given: GanInputs, made: torch.Tensor) -> dict[str, torch.Tensor]:
        discriminator = self.players.discriminator
        with self.ranks.precision():
            values = discriminator(self._augmented(made, given, 2), given.labels).float()
            if self.gan.losses.paired:
                with torch.no_grad():
                    of_real = discriminator(self._augmented(given.real, given, 3), given.labels).float()
                values = values - of_real
        losses = self.gan.generator_losses(
            GeneratorLossInputs(values, given.latent, made, given.labels, self.classifier)
        )
        means = {name: losses[name].mean() for name in ("generator", *self.gan.generator_parts)}
        self.learners["generator"].learn(means["generator"], self.ranks)
        return {name: mean.detach() for name, mean in means.items()}


def augmentation_draws(gan: GanArchitecture, count: int, draws: torch.Generator) -> torch.Tensor | None:
    """(SHOWINGS, count, DRAWS), or None without an augmentation, for which nothing is drawn."""
    return None if gan.augment is None else torch.rand(SHOWINGS, count, DRAWS, generator=draws)


def loss_names(gan: GanArchitecture) -> tuple[str, ...]:
    penalties = [*(["penalty"] if gan.penalty else []), *(["r1", "r2"] if gan.r1 or gan.r2 else [])]
    return ("discriminator", *penalties, "generator", *gan.generator_parts)
