"""One step of critic, generator and classifiers, and the state of their training.

Random numbers are drawn for all ranks together; each rank uses its own share."""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pipelines.errors import SettingsError
from training.classifiers.trained import Classifier, Shape
from training.gans.latents import Source
from training.gans.step import GanInputs, GanStep, augmentation_draws, loss_names
from training.gans.trained import GanShape, TrainedGan
from training.joint.settings import TrainRobust
from training.loop.players import Player
from training.loop.ranks import Ranks
from training.loop.sums import StepSums
from training.loop.training import Training
from training.streams.rounds import Rounds
from training.streams.stream import Batch, Batches, to_unit_floats

__all__ = ["CLASSIC", "ROBUST", "JointTraining", "Pupil"]

CLASSIC, ROBUST = "classic", "robust"


class Pupil(NamedTuple):
    """A classifier that is trained: CLASSIC on real images alone, or ROBUST on generated ones as well."""

    kind: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.kind}-seed{self.seed}"


class JointTraining(Training):
    """A step of the loop is one of the critic. The generator is updated in every n_critic-th, the classifiers in every
    n_critic · classifier_every-th."""

    train: Rounds

    def __init__(
        self, settings: TrainRobust, gan_shape: GanShape, shape: Shape, ranks: Ranks, train: Rounds, validation: Batches
    ) -> None:
        """Raises SettingsError."""
        if len(gan_shape.classes) < 2:
            raise SettingsError(f"data.root: all training images are of class {gan_shape.classes[0]}; two are needed")
        self.settings, self.gan, self.gan_shape, self.shape = settings, settings.gan, gan_shape, shape
        self.validation = validation
        self.players = gan_shape.build(settings.gan, settings.seed)
        for player in self.players:
            player.to(ranks.device)
        self.pupils = [Pupil(kind, seed) for kind in (CLASSIC, ROBUST) for seed in settings.classifier_seeds]
        n_critic = self.gan.n_critic
        learners = {
            "generator": Player(self.players.generator, _adam(self.players.generator, settings), n_critic),
            "discriminator": Player(self.players.discriminator, _adam(self.players.discriminator, settings)),
            **{pupil.name: self._player(pupil, ranks.device) for pupil in self.pupils},
        }
        names = [*loss_names(self.gan), *(pupil.name for pupil in self.pupils)]
        accuracies = [f"accuracy/{pupil.name}" for pupil in self.pupils]
        super().__init__(settings, ranks, train, learners, [*(f"loss/{name}" for name in names), *accuracies])
        self._step = GanStep(self.gan, self.players, learners, ranks, None)
        self.history: list[dict[str, float]] = []
        """The mean losses of this rank between two checks, by the number of finished iterations."""

    @property
    def iteration(self) -> int:
        """The number of finished iterations."""
        return self.steps_taken // self.gan.n_critic

    def seeds(self) -> np.random.SeedSequence:
        """Independent of where an epoch begins, so that keep_every has no effect on the weights."""
        return np.random.SeedSequence([self.settings.seed], spawn_key=(self.steps_taken,))

    def train_on(self, batch: Batch) -> StepSums:
        draws = torch.Generator().manual_seed(int(self.seeds().generate_state(1, np.uint64)[0] >> 1))
        given = self._given(batch, draws)
        losses = self._step(given, self.learners["generator"].learns_at(self.steps_taken))
        sums: dict[str, tuple[torch.Tensor, int]] = {f"loss/{name}": (loss, 1) for name, loss in losses.items()}
        if self.learners[self.pupils[0].name].learns_at(self.steps_taken):
            sums |= self._teach_pupils(given, self._latent(draws))
        return sums

    def check(self) -> dict[str, float]:
        means = super().check()
        if means:
            self.history.append({"iteration": self.steps_taken / self.gan.n_critic, **means})
        return means

    def epoch_metrics(self) -> dict[str, float]:
        found = {f"accuracy/validation/{pupil.name}": self._validate(pupil) for pupil in self.pupils}
        return {"iteration": float(self.iteration), **found}

    def other_state(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_other_state(self, state: Mapping[str, Any]) -> None:
        self.history = list(state["history"])

    def network(self, pupil: Pupil) -> nn.Module:
        return self.learners[pupil.name].network

    def trained_generator(self, about: Mapping[str, Any]) -> TrainedGan:
        """On the CPU."""
        generator = copy.deepcopy(self.players.generator).cpu().eval()
        return TrainedGan(generator, self.gan, self.gan_shape, about)

    def classifier(self, pupil: Pupil, about: Mapping[str, Any]) -> Classifier:
        """On the CPU."""
        network = copy.deepcopy(self.network(pupil)).cpu().eval()
        assert isinstance(network, nn.Sequential)
        return Classifier(network, self.settings.classifier, self.shape, about)

    def _player(self, pupil: Pupil, device: torch.device) -> Player:
        network = self.shape.build(self.settings.classifier, pupil.seed)
        network.to(memory_format=torch.channels_last).to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.settings.classifier_lr)
        return Player(network, optimizer, self.gan.n_critic * self.settings.classifier_every)

    def _given(self, batch: Batch, draws: torch.Generator) -> GanInputs:
        share, device = self.train.share, self.ranks.device
        real = to_unit_floats(batch.images, device) * 2 - 1
        latent = self._latent(draws)
        shares = torch.rand(share.global_batch_size, generator=draws)[self._own].to(device)
        augmentation = augmentation_draws(self.gan, share.global_batch_size, draws)
        if augmentation is not None:
            augmentation = augmentation[:, self._own].to(device)
        penalized = self.steps_taken % self.gan.penalty_every == 0
        labels = batch.labels.to(device)
        return GanInputs(real, labels, latent, shares, len(real), 1 / len(real), augmentation, penalized)

    @property
    def _own(self) -> slice:
        share = self.train.share
        return slice(share.rank * share.batch_size, (share.rank + 1) * share.batch_size)

    def _latent(self, draws: torch.Generator) -> torch.Tensor:
        count = self.train.share.global_batch_size
        drawn = self.gan.latent.draw(count, self.gan_shape.size_px, draws, Source())
        return drawn[self._own].to(self.ranks.device)

    def _teach_pupils(self, given: GanInputs, latent: torch.Tensor) -> dict[str, tuple[torch.Tensor, int]]:
        """One step of each classifier; generated images have the labels of the real ones of the batch, which the
        generator was given."""
        with torch.no_grad(), self.ranks.precision():
            made = self.players.generator(latent, given.labels).float()
        real = given.real.add(1).div(2)
        shown = {
            CLASSIC: (real, given.labels),
            ROBUST: (torch.cat([real, made.add(1).div(2)]), given.labels.repeat(2)),
        }
        sums = {}
        for pupil in self.pupils:
            images, labels = shown[pupil.kind]
            with self.ranks.precision():
                logits = self.network(pupil)(images).float()
            loss, count = cross_entropy(logits, labels), len(labels)
            self.learners[pupil.name].learn(loss, self.ranks)
            self.ranks.average_statistics(self.network(pupil), 1 / self.ranks.world_size)
            sums[f"loss/{pupil.name}"] = (loss.detach() * count, count)
            sums[f"accuracy/{pupil.name}"] = ((logits.argmax(1) == labels).sum(), count)
        return sums

    def _validate(self, pupil: Pupil) -> float:
        """The accuracy on the validation images."""
        network, device = self.network(pupil).eval(), self.ranks.device
        found = torch.zeros(2, dtype=torch.float64, device=device)
        with torch.inference_mode(), self.ranks.precision():
            for batch in self.validation.epoch(0):
                labels, valid = batch.labels.to(device), batch.valid.to(device)
                right = (network(to_unit_floats(batch.images, device)).argmax(1) == labels) & valid
                found += torch.stack([right.sum(), valid.sum()]).double()
        right_of_all, images = self.ranks.sum(found).tolist()
        return float(right_of_all / images)


def _adam(player: nn.Module, settings: TrainRobust) -> torch.optim.Adam:
    return torch.optim.Adam(player.parameters(), lr=settings.lr, betas=settings.betas, fused=True)
