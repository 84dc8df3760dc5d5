"""The loop of every training. The same settings give the same weights, however often a training is stopped and resumed.

The random numbers of a step are a function of (seed, epoch, step) alone, so a checkpoint contains no generator
state."""

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
"""Steps between checks of the losses. Each check waits for the device."""


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
    """A resumable training: its `players` by name, and its position (`epoch` finished epochs, and `step` steps of the
    next one). `sum_names` are the metrics that steps add to."""

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
        """Metrics of the last finished epoch."""
        self.pace = Pace()
        self._loop_settings = settings
        self._sums = NamedSums(sum_names)

    def start_epoch(self) -> None:  # noqa: B027 - most trainings have nothing to do here
        """Called at the beginning of an epoch and after a resume, when the networks are in training mode."""

    @abstractmethod
    def train_on(self, batch: Batch) -> StepSums:
        """One step: every player that is due in this step learns from `batch`."""

    @abstractmethod
    def epoch_metrics(self) -> dict[str, float]:
        """Further metrics of the epoch that was just trained, for example on validation images; the means of the sums
        are added to them."""

    @abstractmethod
    def other_state(self) -> dict[str, Any]:
        """Further state for a checkpoint, besides players, position and metrics."""

    @abstractmethod
    def load_other_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of other_state."""

    @property
    def steps_taken(self) -> int:
        return self.epoch * len(self.train) + self.step

    @property
    def progress(self) -> float:
        """The completed share of all steps, in [0, 1)."""
        return (self.epoch + self.step / len(self.train)) / self._loop_settings.epochs

    def seeds(self) -> np.random.SeedSequence:
        """The seed sequence of this step, the same on all ranks."""
        return np.random.SeedSequence([self._loop_settings.seed, self.epoch], spawn_key=(self.step,))

    def steps(self) -> Iterator[Mapping[str, float] | None]:
        """Trains to the end of the epoch. Yields after each step: the mean sums since the last check if there was a
        check in this step, otherwise None. Raises DivergedError."""
        for player in self.learners.values():
            player.network.train()
        self.start_epoch()
        self.pace = Pace()
        for batch in self.pace.timed(self.train.epoch(self.epoch, self.step)):
            self._sums.add(batch.image_ids, self.train_on(batch))
            self.step += 1
            due = self._sums.waiting == STEPS_BETWEEN_CHECKS or self.step == len(self.train)
            yield self.check() if due else None

    def finish_epoch(self) -> None:
        """Computes the metrics of the epoch over all ranks, and increments the epoch."""
        means = self._sums.means(self.ranks)
        pace = self.pace.metrics(self.train.share.global_batch_size)
        self.metrics = {**means, **self.epoch_metrics(), **pace}
        self.epoch += 1
        self.step = 0
        self._sums.clear()

    def state(self) -> dict[str, Any]:
        """State for a checkpoint, the same on every rank; every rank must call it. Raises DivergedError."""
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
        """The mean sums of this rank since the last check; empty if there was no step. Raises DivergedError."""
        try:
            return self._sums.check()
        except NotFiniteError as error:
            raise DivergedError(
                f"{error.name} is {error.value} in epoch {self.epoch + 1} on the batch of "
                f"{', '.join(error.image_ids)}; check that the pixels of these images are finite; if they are, lower "
                f"lr (it is {self._loop_settings.lr:g})"
            ) from None
