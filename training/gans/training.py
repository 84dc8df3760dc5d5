"""One step of a GAN's two players, and the state of its training: the generator's average, losses, warnings.

Random numbers are drawn for all ranks together; each rank uses its own share."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from pipelines.errors import SettingsError
from training.gans import Players
from training.gans.conditioning import fade_classes, fixed_classes
from training.gans.latents import NoiseImages, Source
from training.gans.settings import TrainGan
from training.gans.step import GanInputs, GanStep, augmentation_draws, loss_names
from training.gans.trained import GanShape, TrainedGan
from training.gans.verdict import mixes_images
from training.gans.watch import Watcher
from training.loop.moving_average import MovingAverage
from training.loop.players import Player, has_batch_norm
from training.loop.ranks import Ranks
from training.loop.sums import StepSums
from training.loop.training import Training
from training.streams.stream import Batch, Batches, to_unit_floats

__all__ = ["GanTraining"]


class GanTraining(Training):
    """The discriminator is updated in each step, the generator in every n_critic-th."""

    train: Batches

    def __init__(
        self, settings: TrainGan, shape: GanShape, ranks: Ranks, train: Batches,
        noise_images: NoiseImages | None = None, classifier: nn.Module | None = None,
    ) -> None:  # fmt: skip
        """`noise_images` for a latent that needs them, `classifier` for a generator that learns to fool one. Raises
        SettingsError."""
        if settings.gan.fools and classifier is None:
            raise SettingsError(f"gan={settings.gan.kind}: needs the classifier {settings.gan.fools} to learn from")
        _check_transition(settings, len(train))
        self.settings = settings
        self.gan = settings.gan
        self.shape = shape
        self.noise_images = noise_images
        self.players = _built(settings, shape, ranks.device)
        self.average = MovingAverage(self.players.generator, settings.ema_decay)
        generator, discriminator = self.players
        learners = {
            "generator": Player(generator, _adam(generator, settings), self.gan.n_critic, [self.average]),
            "discriminator": Player(discriminator, _adam(discriminator, settings)),
        }
        super().__init__(settings, ranks, train, learners, [f"loss/{name}" for name in loss_names(self.gan)])
        self._without_padding = self.gan.losses.paired or any(mixes_images(player) for player in self.players)
        self._step = GanStep(self.gan, self.players, learners, ranks, classifier)
        self.watcher = Watcher(settings.watch)
        self.warnings: list[str] = []
        """Warnings that have not been shown yet."""
        self.history: list[dict[str, float]] = []
        """History of this rank: the mean losses between two checks, and the gradient norms at the second one."""

    def train_on(self, batch: Batch) -> StepSums:
        self._fade()
        learns = self.learners["generator"].learns_at(self.steps_taken)
        losses = self._step(self._given(batch), learns)
        return {f"loss/{name}": (loss, 1) for name, loss in losses.items()}

    def check(self) -> dict[str, float]:
        means = super().check()
        if means:
            players = self.learners.items()
            norms = {name: norm for name, player in players if (norm := player.gradient_norm()) is not None}
            self.warnings += self.watcher.gradients(norms)
            losses = {name.removeprefix("loss/"): mean for name, mean in means.items()}
            of_players = {f"gradient_norm/{name}": norm for name, norm in norms.items()}
            self.history.append({"step": self.steps_taken, **losses, **of_players})
        return means

    def epoch_metrics(self) -> dict[str, float]:
        return {name: value for name, value in self.history[-1].items() if name.startswith("gradient_norm/")}

    def other_state(self) -> dict[str, Any]:
        return {"average": self.average.state(), "watcher": self.watcher.state(), "history": self.history}

    def load_other_state(self, state: Mapping[str, Any]) -> None:
        self.average.load_state(state["average"])
        self.watcher.load_state(state["watcher"])
        self.history = list(state["history"])

    def trained(self, about: Mapping[str, Any]) -> TrainedGan:
        """The trained generator, on the CPU."""
        self._fade()
        generator = fixed_classes(copy.deepcopy(self.average.current())).cpu()
        return TrainedGan(generator, self.gan, self.shape, about, self.noise_images)

    def sampled(self) -> TrainedGan:
        """The current average generator, on the device of the training."""
        self._fade()
        return TrainedGan(self.average.current(), self.gan, self.shape, {}, self.noise_images)

    def _fade(self) -> None:
        if self.gan.transition:
            share = self.gan.transition.share(self.steps_taken, len(self.train))
            fade_classes([*self.players, self.average.network], share)

    def _given(self, batch: Batch) -> GanInputs:
        share, device = self.train.share, self.ranks.device
        draws = torch.Generator().manual_seed(int(self.seeds().generate_state(1, np.uint64)[0] >> 1))
        own = slice(share.rank * share.batch_size, (share.rank + 1) * share.batch_size)
        real = to_unit_floats(batch.images, device) * 2 - 1
        latent = self._latent(real, draws, own).to(device, non_blocking=True)
        shares = torch.rand(share.global_batch_size, generator=draws)[own].to(device, non_blocking=True)
        augmentation = augmentation_draws(self.gan, share.global_batch_size, draws)
        count = share.own_valid(self.step, self.train.images)
        rows = share.without_padding(self.step, self.train.images) if self._without_padding else slice(None)
        weight = share.world_size / share.valid(self.step, self.train.images)
        labels = batch.labels.to(device)
        if augmentation is not None:
            augmentation = augmentation[:, own].to(device)[:, rows]
        penalized = self.steps_taken % self.gan.penalty_every == 0
        return GanInputs(real[rows], labels[rows], latent[rows], shares[rows], count, weight, augmentation, penalized)

    def _latent(self, real: torch.Tensor, draws: torch.Generator, own: slice) -> torch.Tensor:
        latent, source = self.gan.latent, Source(real, self.noise_images)
        if latent.from_images:
            return latent.draw(len(real), self.shape.size_px, draws, source)
        return latent.draw(self.train.share.global_batch_size, self.shape.size_px, draws, source)[own]


def _built(settings: TrainGan, shape: GanShape, device: torch.device) -> Players:
    """Raises SettingsError."""
    players = shape.build(settings.gan, settings.seed)
    for name, player in players._asdict().items():
        if settings.batch_size == 1 and has_batch_norm(player):
            raise SettingsError(
                f"batch_size=1: the {name} of {settings.gan.kind} has batch norm, which needs 2 or more"
            )
        player.to(device)
    return players


def _check_transition(settings: TrainGan, steps_per_epoch: int) -> None:
    """Raises SettingsError if the class would not be faded in completely."""
    transition = settings.gan.transition
    if transition and transition.share(settings.epochs * steps_per_epoch, steps_per_epoch) < 1:
        raise SettingsError(
            f"gan.transition.end={transition.end:g} {transition.unit}: the training ends before it, after "
            f"{settings.epochs} epochs of {steps_per_epoch:,} steps; set a smaller gan.transition.end, or more epochs"
        )


def _adam(player: nn.Module, settings: TrainGan) -> torch.optim.Adam:
    return torch.optim.Adam(player.parameters(), lr=settings.lr, betas=settings.betas, fused=True)
