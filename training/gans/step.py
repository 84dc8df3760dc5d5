"""One step of a GAN: an update of the discriminator, and in some steps of the generator."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn

from training.gans import GanArchitecture, GeneratorLossInputs, Players
from training.gans.losses import gradient_penalty
from training.loop.players import Player, has_batch_norm
from training.loop.ranks import Ranks

__all__ = ["GanInputs", "GanStep", "loss_names"]


class GanInputs(NamedTuple):
    """The inputs of both players in one step, on the device: `real` (N, C, S, S) in [-1, 1], their `labels` (N,),
    `latent` (N, …), and for the gradient penalty `share` (N,) in [0, 1).

    The first `valid` real images are not padding. `weight` times the sum over them, averaged over the ranks, is the
    mean over the valid images of all ranks."""

    real: torch.Tensor
    labels: torch.Tensor
    latent: torch.Tensor
    share: torch.Tensor
    valid: int
    weight: float


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
        self._apart = has_batch_norm(players.discriminator)

    def __call__(self, given: GanInputs, generator_learns: bool) -> dict[str, torch.Tensor]:
        """The mean losses by name, as in loss_names; those of the generator only if it learns."""
        with torch.set_grad_enabled(generator_learns), self.ranks.precision():
            made = self.players.generator(given.latent, given.labels).float()
        losses = self._teach_discriminator(given, made.detach())
        if generator_learns:
            losses |= self._teach_generator(given, made)
        return losses

    def _teach_discriminator(self, given: GanInputs, made: torch.Tensor) -> dict[str, torch.Tensor]:
        of_real, of_made = self._judge(given, made)
        adversarial = self.gan.losses
        loss = adversarial.real(of_real[: given.valid]).sum() * given.weight + adversarial.fake(of_made).mean()
        losses = {"discriminator": loss.detach()}
        if self.gan.penalty:
            own = slice(given.valid)
            penalties = gradient_penalty(
                self.players.discriminator, given.real[own], made[own], given.labels[own], given.share[own]
            )
            penalty = penalties.sum() * given.weight
            losses["penalty"] = penalty.detach()
            loss = loss + self.gan.penalty * penalty
        self.learners["discriminator"].learn(loss, self.ranks)
        return losses

    def _judge(self, given: GanInputs, made: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The discriminator's values of the real and of the generated images: in one pass, unless its batch norm would
        mix the two."""
        discriminator = self.players.discriminator
        with self.ranks.precision():
            if self._apart:
                return discriminator(given.real, given.labels).float(), discriminator(made, given.labels).float()
            values = discriminator(torch.cat([given.real, made]), given.labels.repeat(2)).float()
        real, generated = values.chunk(2)
        return real, generated

    def _teach_generator(self, given: GanInputs, made: torch.Tensor) -> dict[str, torch.Tensor]:
        with self.ranks.precision():
            values = self.players.discriminator(made, given.labels).float()
        losses = self.gan.generator_losses(
            GeneratorLossInputs(values, given.latent, made, given.labels, self.classifier)
        )
        means = {name: losses[name].mean() for name in ("generator", *self.gan.generator_parts)}
        self.learners["generator"].learn(means["generator"], self.ranks)
        return {name: mean.detach() for name, mean in means.items()}


def loss_names(gan: GanArchitecture) -> tuple[str, ...]:
    return ("discriminator", *(["penalty"] if gan.penalty else []), "generator", *gan.generator_parts)
