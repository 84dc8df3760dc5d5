"""The loop that trains a GAN: the same weights of both players for the same settings, whenever it is stopped and
resumed.

Random numbers of a step are a function of (seed, epoch, step) alone, so a checkpoint needs no generator's state. They
are drawn for all ranks together, of which each takes its own."""

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.errors import SettingsError
from training.classifiers.training import DivergedError
from training.gans import Players
from training.gans.latents import NoiseImages, Source
from training.gans.settings import TrainGan
from training.gans.step import GanStep, Given, has_batch_norm
from training.gans.trained import GanShape, TrainedGan
from training.gans.watch import Watcher
from training.loop.moving_average import MovingAverage
from training.loop.pace import Pace
from training.loop.ranks import Ranks
from training.streams.stream import Batch, Batches, to_unit_floats

__all__ = ["GanTraining"]

STEPS_BETWEEN_CHECKS = 20
"""Of losses and gradients: each check waits for the device."""

Sums = NDArray[np.float64]
"""(2, losses): what they sum up to in this epoch, and how often each was taken."""


class GanTraining:
    """Both players, their optimizers, and how far they have come: `epoch` epochs and `step` steps of the next one."""

    def __init__(
        self, settings: TrainGan, shape: GanShape, ranks: Ranks, train: Batches,
        noise_images: NoiseImages | None = None, classifier: nn.Module | None = None,
    ) -> None:  # fmt: skip
        """`noise_images` for a latent that needs them, `classifier` for a generator that is to fool one. Raises
        SettingsError."""
        if settings.gan.fools and classifier is None:
            raise SettingsError(f"gan={settings.gan.kind}: needs the classifier {settings.gan.fools} to learn from")
        self.settings = settings
        self.gan = settings.gan
        self.shape = shape
        self.ranks = ranks
        self.train = train
        self.noise_images = noise_images
        self.players = _built(settings, shape, ranks.device)
        self.optimizers = [_adam(player, settings) for player in self.players]
        self.average = MovingAverage(self.players.generator, settings.ema_decay)
        self._step = GanStep(settings.gan, self.players, self.optimizers, ranks, classifier)
        self.watcher = Watcher(settings.watch)
        self.warnings: list[str] = []
        """That have not been said yet."""
        self.epoch = 0
        self.step = 0
        self.metrics: dict[str, float] = {}
        """Of the last epoch that was finished."""
        self.history: list[dict[str, float]] = []
        """Of this rank: the mean losses between two checks, and the gradient norms at the second one."""
        self.pace = Pace()
        self._sums = self._zeros()
        self._unchecked: list[tuple[list[str], list[torch.Tensor]]] = []

    @property
    def steps_taken(self) -> int:
        return self.epoch * len(self.train) + self.step

    def steps(self) -> Iterator[Mapping[str, float] | None]:
        """Trains to the end of the epoch. Yields after each step: both players' losses since the last look where they
        have just been looked at. Raises DivergedError."""
        self.players.generator.train()
        self.players.discriminator.train()
        self.pace = Pace()
        for batch in self.pace.timed(self.train.epoch(self.epoch, self.step)):
            self._train_on(batch)
            self.step += 1
            due = len(self._unchecked) == STEPS_BETWEEN_CHECKS or self.step == len(self.train)
            yield self._check() if due else None

    def finish_epoch(self) -> None:
        """Counts the epoch, and takes its metrics over all ranks."""
        totals, counts = self._summed().numpy()
        pace = self.pace.metrics(self.train.share.global_batch_size)
        means = (totals / np.maximum(counts, 1)).tolist()
        self.metrics = {
            **{f"loss/{name}": mean for name, mean in zip(self._step.loss_names, means, strict=True)},
            **{name: value for name, value in self.history[-1].items() if name.startswith("gradient_norm/")},
            **pace,
        }
        self.epoch += 1
        self.step = 0
        self._sums = self._zeros()

    def state(self) -> dict[str, Any]:
        """For a checkpoint; every rank must call it, and has the same then. Raises DivergedError."""
        self._check()
        return {
            **{name: player.state_dict() for name, player in self.players._asdict().items()},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": self.average.state(),
            "epoch": self.epoch,
            "step": self.step,
            "sums": self._summed(),
            "watcher": self.watcher.state(),
            "metrics": self.metrics,
            "history": self.history,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        for name, player in self.players._asdict().items():
            player.load_state_dict(state[name])
        for optimizer, own in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(own)
        self.average.load_state(state["average"])
        self.epoch, self.step = state["epoch"], state["step"]
        self._sums = state["sums"].cpu().numpy() if self.ranks.is_first else self._zeros()
        self.watcher.load_state(state["watcher"])
        self.metrics = state["metrics"]
        self.history = list(state["history"])

    def trained(self, about: Mapping[str, Any]) -> TrainedGan:
        """What has been trained, on the CPU."""
        generator = copy.deepcopy(self.average.current()).cpu()
        return TrainedGan(generator, self.gan, self.shape, about, self.noise_images)

    def sampled(self) -> TrainedGan:
        """As it is now, where it is being trained."""
        return TrainedGan(self.average.current(), self.gan, self.shape, {}, self.noise_images)

    def _train_on(self, batch: Batch) -> None:
        learns = (self.steps_taken + 1) % self.gan.n_critic == 0
        losses = self._step(self._given(batch), learns)
        if learns:
            self.average.step()
        self._unchecked.append((batch.image_ids, losses))

    def _given(self, batch: Batch) -> Given:
        share, device = self.train.share, self.ranks.device
        seeds = np.random.SeedSequence([self.settings.seed, self.epoch], spawn_key=(self.step,))
        draws = torch.Generator().manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> 1))
        own = slice(share.rank * share.batch_size, (share.rank + 1) * share.batch_size)
        real = to_unit_floats(batch.images, device) * 2 - 1
        latent = self._latent(real, draws, own)
        shares = torch.rand(share.global_batch_size, generator=draws)[own]
        valid = share.valid(self.step, self.train.images)
        return Given(
            real, batch.labels.to(device), latent.to(device, non_blocking=True), shares.to(device, non_blocking=True),
            min(max(valid - own.start, 0), share.batch_size), share.world_size / valid,
        )  # fmt: skip

    def _latent(self, real: torch.Tensor, draws: torch.Generator, own: slice) -> torch.Tensor:
        latent, source = self.gan.latent, Source(real, self.noise_images)
        if latent.from_images:
            return latent.draw(len(real), self.shape.size_px, draws, source)
        return latent.draw(self.train.share.global_batch_size, self.shape.size_px, draws, source)[own]

    def _check(self) -> Mapping[str, float]:
        """The mean losses since the last check on this rank."""
        if not self._unchecked:
            return {}
        values = iter(torch.stack([loss for _, losses in self._unchecked for loss in losses]).tolist())
        sums = np.zeros_like(self._sums)
        for image_ids, losses in self._unchecked:
            for place in range(len(losses)):
                value = next(values)
                if not math.isfinite(value):
                    raise self._diverged(self._step.loss_names[place], value, image_ids)
                sums[:, place] += value, 1
                self._sums[:, place] += value, 1
        self._unchecked.clear()
        means = {
            name: total / count
            for name, (total, count) in zip(self._step.loss_names, sums.T.tolist(), strict=True)
            if count
        }
        norms = self._step.gradient_norms()
        self.warnings += self.watcher.gradients(norms)
        self.history.append({
            "step": self.steps_taken, **means, **{f"gradient_norm/{name}": norm for name, norm in norms.items()}
        })  # fmt: skip
        return means

    def _diverged(self, name: str, value: float, image_ids: list[str]) -> DivergedError:
        return DivergedError(
            f"the {name} loss is {value} in epoch {self.epoch + 1} on the batch of {', '.join(image_ids)}; "
            f"are all pixels of these finite? If so, lower lr (it is {self.settings.lr:g})"
        )

    def _summed(self) -> torch.Tensor:
        """Over all ranks, on the CPU."""
        return self.ranks.sum(torch.from_numpy(self._sums).to(self.ranks.device)).cpu()

    def _zeros(self) -> Sums:
        return np.zeros((2, len(self._step.loss_names)))


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


def _adam(player: nn.Module, settings: TrainGan) -> torch.optim.Adam:
    return torch.optim.Adam(player.parameters(), lr=settings.lr, betas=settings.betas, fused=True)
