"""The loop of every training: the same weights for the same settings, whenever it is stopped and resumed.

Random numbers of a step are a function of (seed, epoch, step) alone, so a checkpoint needs no generator's state."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from pipelines.errors import RoadsignError
from training.loop.pace import Pace
from training.loop.players import Player
from training.loop.ranks import Ranks
from training.loop.sums import NamedSums, NotFiniteError, StepSums
from training.streams.stream import Batch, Epochs

__all__ = ["DivergedError", "LoopSettings", "Training"]

STEPS_BETWEEN_CHECKS = 20
"""Of the losses: each check waits for the device."""


class DivergedError(RoadsignError):
    """The loss is NaN or infinite."""


class LoopSettings(Protocol):
    @property
    def seed(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def lr(self) -> float: ...


class Training(ABC):
    """`players` by name, and how far they have come: `epoch` epochs and `step` steps of the next one. `sum_names` are
    the metrics that steps add to."""

    def __init__(
        self, settings: LoopSettings, ranks: Ranks, train: Epochs, players: Mapping[str, Player],
        sum_names: Sequence[str],
    ) -> None:  # fmt: skip
        self.ranks = ranks
        self.train = train
        self.learners = players
        self.epoch = 0
        self.step = 0
        self.metrics: dict[str, float] = {}
        """Of the last epoch that was finished."""
        self.pace = Pace()
        self._loop_settings = settings
        self._sums = NamedSums(sum_names)

    @abstractmethod
    def train_on(self, batch: Batch) -> StepSums:
        """One step: every player whose turn it is learns from `batch`."""

    @abstractmethod
    def epoch_metrics(self) -> dict[str, float]:
        """Of the epoch that has just been trained, besides the means of the sums: validation, say."""

    @abstractmethod
    def other_state(self) -> dict[str, Any]:
        """For a checkpoint, besides players, place and metrics."""

    @abstractmethod
    def load_other_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of other_state."""

    @property
    def steps_taken(self) -> int:
        return self.epoch * len(self.train) + self.step

    @property
    def progress(self) -> float:
        """The share of all steps that is done, in [0, 1)."""
        return (self.epoch + self.step / len(self.train)) / self._loop_settings.epochs

    def seeds(self) -> np.random.SeedSequence:
        """Of this step, the same on all ranks."""
        return np.random.SeedSequence([self._loop_settings.seed, self.epoch], spawn_key=(self.step,))

    def steps(self) -> Iterator[Mapping[str, float] | None]:
        """Trains to the end of the epoch. Yields after each step: the mean sums since the last look where they have
        just been looked at. Raises DivergedError."""
        for player in self.learners.values():
            player.network.train()
        self.pace = Pace()
        for batch in self.pace.timed(self.train.epoch(self.epoch, self.step)):
            self._sums.add(batch.image_ids, self.train_on(batch))
            self.step += 1
            due = self._sums.waiting == STEPS_BETWEEN_CHECKS or self.step == len(self.train)
            yield self.check() if due else None

    def finish_epoch(self) -> None:
        """Takes the epoch's metrics over all ranks, and counts it."""
        means = self._sums.means(self.ranks)
        pace = self.pace.metrics(self.train.share.global_batch_size)
        self.metrics = {**means, **self.epoch_metrics(), **pace}
        self.epoch += 1
        self.step = 0
        self._sums.clear()

    def state(self) -> dict[str, Any]:
        """For a checkpoint; every rank must call it, and has the same then. Raises DivergedError."""
        self.check()
        return {
            "players": {name: player.state() for name, player in self.learners.items()},
            "epoch": self.epoch,
            "step": self.step,
            "sums": self._sums.over_ranks(self.ranks),
            "metrics": self.metrics,
            **self.other_state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        for name, player in self.learners.items():
            player.load_state(state["players"][name])
        self.epoch, self.step = state["epoch"], state["step"]
        self._sums.restore(state["sums"], self.ranks)
        self.metrics = state["metrics"]
        self.load_other_state(state)

    def check(self) -> dict[str, float]:
        """The mean sums of this rank since the last check; empty where there was no step. Raises DivergedError."""
        try:
            return self._sums.check()
        except NotFiniteError as error:
            raise DivergedError(
                f"{error.name} is {error.value} in epoch {self.epoch + 1} on the batch of "
                f"{', '.join(error.image_ids)}; check that the pixels of these images are finite; if they are, lower "
                f"lr (it is {self._loop_settings.lr:g})"
            ) from None
