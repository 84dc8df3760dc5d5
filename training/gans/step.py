"""One step of a GAN: the discriminator learns, and where it is due the generator does."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from training.gans import GanArchitecture, Players, Seen
from training.gans.losses import gradient_penalty
from training.loop.ranks import Ranks

__all__ = ["GanStep", "Given", "has_batch_norm"]


class Given(NamedTuple):
    """What both players get in one step, on the device: `real` (N, 3, S, S) in [-1, 1], their `labels` (N,), `latent`
    (N, …), and for the gradient penalty `share` (N,) in [0, 1).

    The first `valid` real images are no filling; `weight` times a sum over them is, averaged over the ranks, the mean
    over those of all ranks."""

    real: torch.Tensor
    labels: torch.Tensor
    latent: torch.Tensor
    share: torch.Tensor
    valid: int
    weight: float


class GanStep:
    """Generated images have the labels of the real ones, so that both have the same classes equally often."""

    def __init__(
        self, gan: GanArchitecture, players: Players, optimizers: Sequence[torch.optim.Optimizer], ranks: Ranks,
        classifier: nn.Module | None,
    ) -> None:  # fmt: skip
        self.gan = gan
        self.players = players
        self.ranks = ranks
        self.classifier = classifier
        self.loss_names = ("discriminator", *(["penalty"] if gan.penalty else []), "generator", *gan.generator_parts)
        self._generators, self._discriminators = optimizers
        self._parameters = list(players.generator.parameters())
        self._apart = has_batch_norm(players.discriminator)

    def __call__(self, given: Given, generator_learns: bool) -> list[torch.Tensor]:
        """The losses in order of `loss_names`, those of the generator only where it learns."""
        with torch.set_grad_enabled(generator_learns), self.ranks.precision():
            made = self.players.generator(given.latent, given.labels).float()
        losses = self._teach_discriminator(given, made.detach())
        if generator_learns:
            losses += self._teach_generator(given, made)
        return losses

    def gradient_norms(self) -> dict[str, float]:
        """Of the latest gradient of each player that has learned; waits for the device."""
        norms = {}
        for name, player in self.players._asdict().items():
            if gradients := [parameter.grad for parameter in player.parameters() if parameter.grad is not None]:
                norms[name] = nn.utils.get_total_norm(gradients)
        return {name: float(norm) for name, norm in norms.items()}

    def _teach_discriminator(self, given: Given, made: torch.Tensor) -> list[torch.Tensor]:
        of_real, of_made = self._judge(given, made)
        adversarial = self.gan.losses
        loss = adversarial.real(of_real[: given.valid]).sum() * given.weight + adversarial.fake(of_made).mean()
        losses = [loss]
        if self.gan.penalty:
            own = slice(given.valid)
            penalties = gradient_penalty(
                self.players.discriminator, given.real[own], made[own], given.labels[own], given.share[own]
            )
            losses.append(penalties.sum() * given.weight)
            loss = loss + self.gan.penalty * losses[1]
        self._discriminators.zero_grad()
        torch.autograd.backward(loss)
        self.ranks.average_gradients(self.players.discriminator)
        self._discriminators.step()
        return [one.detach() for one in losses]

    def _judge(self, given: Given, made: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The discriminator's values of the real and of the generated images: in one pass, unless its batch norm would
        mix the two."""
        discriminator = self.players.discriminator
        with self.ranks.precision():
            if self._apart:
                return discriminator(given.real, given.labels).float(), discriminator(made, given.labels).float()
            values = discriminator(torch.cat([given.real, made]), given.labels.repeat(2)).float()
        real, generated = values.chunk(2)
        return real, generated

    def _teach_generator(self, given: Given, made: torch.Tensor) -> list[torch.Tensor]:
        with self.ranks.precision():
            values = self.players.discriminator(made, given.labels).float()
        losses = self.gan.generator_losses(Seen(values, given.latent, made, given.labels, self.classifier))
        means = [losses[name].mean() for name in ("generator", *self.gan.generator_parts)]
        self._generators.zero_grad()
        torch.autograd.backward(means[0], inputs=self._parameters)  # and not through the discriminator's weights
        self.ranks.average_gradients(self.players.generator)
        self._generators.step()
        return [mean.detach() for mean in means]


def has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules())
