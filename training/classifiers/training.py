"""The loop that trains a classifier: the same weights for the same settings, whenever it is stopped and resumed.

Random numbers of a step are a function of (seed, epoch, step) alone, so a checkpoint needs no generator's state."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pipelines.errors import RoadsignError
from training.augmentation.augmentation import DRAWS
from training.classifiers.settings import TrainClassifier
from training.classifiers.trained import Classifier, Shape
from training.loop.pace import Pace
from training.loop.ranks import Ranks
from training.streams.stream import Batch, Epochs, to_unit_floats

__all__ = ["ClassifierTraining", "DivergedError"]

STEPS_BETWEEN_CHECKS = 20
"""Of the losses: each check waits for the device."""


class DivergedError(RoadsignError):
    """The loss is no number any more."""


class Best(NamedTuple):
    epoch: int
    accuracy: float
    weights: dict[str, torch.Tensor]


class ClassifierTraining:
    """Network, optimizer, and how far they have come: `epoch` epochs and `step` steps of the next one."""

    def __init__(
        self, settings: TrainClassifier, shape: Shape, ranks: Ranks, train: Epochs, validation: Epochs
    ) -> None:
        self.settings = settings
        self.shape = shape
        self.ranks = ranks
        self.train = train
        self.validation = validation
        self.network = shape.build(settings.model, settings.seed).to(memory_format=torch.channels_last)
        self.network.to(ranks.device)
        self._parallel = ranks.parallel(self.network)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )
        self.epoch = 0
        self.step = 0
        self.best: Best | None = None
        self.metrics: dict[str, float] = {}
        """Of the last epoch that was finished."""
        self.pace = Pace()
        self._sums = self._zeros()
        self._unchecked: list[tuple[list[str], torch.Tensor]] = []

    def steps(self) -> Iterator[float | None]:
        """Trains to the end of the epoch. Yields after each step: the epoch's mean loss so far where it has just been
        looked at. Raises DivergedError."""
        self.network.train()
        self.pace = Pace()
        for batch in self.pace.timed(self.train.epoch(self.epoch, self.step)):
            self._train_on(batch)
            self.step += 1
            due = len(self._unchecked) == STEPS_BETWEEN_CHECKS or self.step == len(self.train)
            yield self._check() if due else None

    def finish_epoch(self) -> None:
        """Validates, counts the epoch, and takes its metrics over all ranks."""
        loss, correct, images = self.ranks.sum(self._sums).tolist()
        pace = self.pace.metrics(self.train.share.global_batch_size)
        self.metrics = {
            "loss/train": loss / images,
            "accuracy/train": correct / images,
            "lr": self.optimizer.param_groups[0]["lr"],
            **pace,
            **self._validate(),
        }
        self.epoch += 1
        self.step = 0
        self._sums = self._zeros()
        accuracy = self.metrics["accuracy/validation"]
        if self.best is None or accuracy > self.best.accuracy:
            self.best = Best(self.epoch, accuracy, copy.deepcopy(dict(self.network.state_dict())))

    @property
    def validation_accuracy(self) -> float:
        """Of the weights that `keep` asks for."""
        best = self.best if self.settings.keep == "best" else None
        return best.accuracy if best else self.metrics["accuracy/validation"]

    def state(self) -> dict[str, Any]:
        """For a checkpoint; every rank must call it, and has the same then. Raises DivergedError."""
        self._check()
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "sums": self.ranks.sum(self._sums),
            "best": self.best and self.best._asdict(),
            "metrics": self.metrics,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.step = state["epoch"], state["step"]
        self._sums = state["sums"] if self.ranks.is_first else self._zeros()
        self.best = state["best"] and Best(**state["best"])
        self.metrics = state["metrics"]

    def classifier(self, about: Mapping[str, Any]) -> Classifier:
        """What has been trained, with the weights that `keep` asks for, on the CPU."""
        best = self.best if self.settings.keep == "best" else None
        weights = best.weights if best else self.network.state_dict()
        network = self.shape.build(self.settings.model, self.settings.seed)
        network.load_state_dict({name: tensor.cpu() for name, tensor in weights.items()})
        return Classifier(network.eval(), self.settings.model, self.shape, about)

    def _train_on(self, batch: Batch) -> None:
        share, device = self.train.share, self.ranks.device
        random = np.random.Generator(
            np.random.PCG64(np.random.SeedSequence([self.settings.seed, self.epoch], spawn_key=(self.step,)))
        )
        draws = random.random((DRAWS, share.global_batch_size), np.float32)
        own = slice(share.rank * share.batch_size, (share.rank + 1) * share.batch_size)
        images, labels, valid = _on(batch, device)
        images, labels = self.settings.augmentation(images, labels, torch.from_numpy(draws[:, own]).to(device))
        progress = (self.epoch + self.step / len(self.train)) / self.settings.epochs
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr_at(progress)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(int(random.integers(2**63, size=share.world_size)[share.rank]))  # for dropout
            logits = self._logits(self._parallel, images)
        losses = cross_entropy(logits, labels, reduction="none", label_smoothing=self.settings.label_smoothing) * valid
        loss = losses.sum()
        self.optimizer.zero_grad()
        # The mean over the valid images of all ranks, whose gradients DDP averages.
        torch.autograd.backward(loss * share.world_size / share.valid(self.step, self.train.images))
        self.optimizer.step()
        self._sums += _sums(loss.detach(), logits, labels, valid)
        self._unchecked.append((batch.image_ids, loss.detach()))

    def _validate(self) -> dict[str, float]:
        self.network.eval()
        sums = self._zeros()
        with torch.inference_mode():
            for batch in self.validation.epoch(0):
                images, labels, valid = _on(batch, self.ranks.device)
                logits = self._logits(self.network, images)
                sums += _sums((cross_entropy(logits, labels, reduction="none") * valid).sum(), logits, labels, valid)
        loss, correct, images_seen = self.ranks.sum(sums).tolist()
        return {"loss/validation": loss / images_seen, "accuracy/validation": correct / images_seen}

    def _logits(self, network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        with self.ranks.precision():
            logits: torch.Tensor = network(images)
        return logits.float()

    def _check(self) -> float:
        """The epoch's mean loss so far on this rank."""
        losses = torch.stack([loss for _, loss in self._unchecked]).tolist() if self._unchecked else []
        for (image_ids, _), loss in zip(self._unchecked, losses, strict=True):
            if not np.isfinite(loss):
                raise DivergedError(
                    f"the loss is {loss} in epoch {self.epoch + 1} on the batch of {', '.join(image_ids)}; "
                    f"are all pixels of these finite? If so, lower lr (it is {self.settings.lr:g})"
                )
        self._unchecked.clear()
        loss, _, images = self._sums.tolist()
        return float(loss / max(images, 1))

    def _zeros(self) -> torch.Tensor:
        return torch.zeros(3, dtype=torch.float64, device=self.ranks.device)


def _on(batch: Batch, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return to_unit_floats(batch.images, device), batch.labels.to(device), batch.valid.to(device)


def _sums(loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Loss, correct images and images of a batch."""
    correct = ((logits.argmax(1) == labels) & valid).sum()
    return torch.stack([loss.double(), correct.double(), valid.sum().double()])
