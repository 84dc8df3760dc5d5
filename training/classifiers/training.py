"""One step of a classifier's training, and the choice of the weights that are best on the validation tracks."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pipelines.errors import SettingsError
from training.augmentation.augmentation import NO_MIRRORS, Mirrors
from training.classifiers.balance import class_weights
from training.classifiers.fine_tuning import freeze_body, parameter_groups
from training.classifiers.pretrained import Pretrained, load_weights
from training.classifiers.settings import TrainClassifier
from training.classifiers.smoothing import SmoothedLayers
from training.classifiers.teachers import read_teachers
from training.classifiers.trained import Classifier, Shape
from training.loop.moving_average import MovingAverage
from training.loop.players import Player, StepHook, has_batch_norm
from training.loop.ranks import Ranks
from training.loop.sums import StepSums
from training.loop.training import Training
from training.objectives import Objective, ObjectiveInputs
from training.regularizers.operator_norms import layer_measures
from training.regularizers.parseval import ParsevalStep
from training.streams.stream import Batch, Epochs, to_unit_floats

__all__ = ["ClassifierTraining"]

ROWS_OF_PARSEVAL = 0x5041
"""Makes the random numbers of Parseval's rows differ from all others of a step."""


class Best(NamedTuple):
    epoch: int
    accuracy: float
    weights: dict[str, torch.Tensor]


class ClassifierTraining(Training):
    """`mirrors` are those of the data set's card; `hooks` run after each step of the optimizer; `class_counts` are the
    training images of each label, which class_balance needs. Without `validation` there are no metrics of it."""

    def __init__(
        self, settings: TrainClassifier, shape: Shape, ranks: Ranks, train: Epochs, validation: Epochs | None,
        mirrors: Mirrors = NO_MIRRORS, hooks: Sequence[StepHook] = (), class_counts: Sequence[float] = (),
        mean_norm: float = math.nan,
    ) -> None:  # fmt: skip
        """Raises SettingsError."""
        self.settings = settings
        self.shape = shape
        self.validation = validation
        self.mirrors = Mirrors(*(mirror.to(ranks.device) for mirror in mirrors))
        self.network = shape.build(settings.model, settings.seed)
        self.pretrained, self.weights_error = _pretrained(settings, shape, self.network)
        self.network.to(memory_format=torch.channels_last).to(ranks.device)
        optimizer = settings.optimizer_of(parameter_groups(self.network, settings.lr_decay_per_depth))
        self.average = MovingAverage(self.network, settings.ema_decay) if settings.ema_decay else None
        if settings.parseval:
            hooks = [*hooks, ParsevalStep(settings.parseval, self.network, self._rows_drawn)]
        self._player = Player(self.network, optimizer, hooks=hooks, max_gradient_norm=settings.max_gradient_norm)
        self.smoothed = SmoothedLayers(settings, self.network, shape.num_classes)
        parts = (*(f"loss/{part}/train" for part in settings.objective.parts), *self.smoothed.sum_names)
        super().__init__(settings, ranks, train, {"classifier": self._player}, ("loss/train", "accuracy/train", *parts))
        self._averaging = ranks if settings.frozen_epochs else None  # DDP expects the same parameters in every step
        self._parallel = self.network if self._averaging else ranks.parallel(self.network)
        self._has_batch_norm = has_batch_norm(self.network)
        self._features: dict[str, torch.Tensor] = {}
        self._layers = {**_layers_for(settings.objective, self.network), **self.smoothed.layers}
        self._mean_norm = mean_norm
        self._loss = _loss(settings, class_counts, ranks.device)
        self.teachers = read_teachers(settings.objective, shape, ranks.device)
        self._teachers = [partial(self._logits_of, teacher.network) for teacher in self.teachers]
        self.best: Best | None = None

    def start_epoch(self) -> None:
        if self.settings.frozen_epochs:
            freeze_body(self.network, self.epoch < self.settings.frozen_epochs)

    def train_on(self, batch: Batch) -> StepSums:
        share, device = self.train.share, self.ranks.device
        seeds = self.seeds()
        random = np.random.Generator(np.random.PCG64(seeds))
        augmentation = self.settings.augmentation
        draws = random.random((augmentation.draws, share.global_batch_size), np.float32)
        own = slice(share.rank * share.batch_size, (share.rank + 1) * share.batch_size)
        images, labels, valid = _on(batch, device)
        own_draws = torch.from_numpy(draws[:, own]).to(device)
        images, labels = augmentation(images, labels, own_draws, self.mirrors)
        count = share.own_valid(self.step, self.train.images)
        if self._has_batch_norm:
            rows = share.without_padding(self.step, self.train.images)
            images, labels, valid = images[rows], labels[rows], valid[rows]
        if augmentation.noise:
            noise_seeds = seeds.spawn(share.world_size)  # the draws of the objective are of the spawn after this one
            noise_draws = torch.Generator(device).manual_seed(_number(noise_seeds[share.rank]))
            images = augmentation.noise(images, noise_draws)
        self._set_lr()
        given = ObjectiveInputs(
            self.network, self._logits, self._loss, images, labels, batch.image_ids[: len(labels)],
            np.random.Generator(np.random.PCG64(seeds.spawn(share.world_size)[share.rank])), self._features,
            self.settings.seed, self.epoch, self.step, self._teachers, self._mean_norm,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(int(random.integers(2**63, size=share.world_size)[share.rank]))  # for dropout
            losses = self.settings.objective(given)
        penalty, extra = self.smoothed.penalty(self._features, labels, valid, count)
        self._features.clear()
        loss = ((losses.total + penalty) * valid).sum()
        # The mean over the valid images of all ranks; DDP averages its gradients.
        every = share.valid(self.step, self.train.images)
        self._player.learn(loss * share.world_size / every, self._averaging)
        self.ranks.average_statistics(self.network, count / every)
        if self.average:
            self.average.step()  # after the hooks, which may change the weights
        correct = ((losses.logits.argmax(1) == labels) & valid).sum()
        parts = {f"loss/{name}/train": ((part.detach() * valid).sum(), count) for name, part in losses.parts.items()}
        return {"loss/train": (loss.detach(), count), "accuracy/train": (correct, count), **parts, **extra}

    def _rows_drawn(self) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, self.epoch, self.step, ROWS_OF_PARSEVAL])

    def epoch_metrics(self) -> dict[str, float]:
        size_px, channels = self.shape.size_px, self.shape.channels
        layers = layer_measures(self.network, (channels, size_px, size_px)) if self.settings.parseval else {}
        return {"lr": self._player.optimizer.param_groups[-1]["lr"], **layers, **self._validate()}

    def finish_epoch(self) -> None:
        super().finish_epoch()
        self.smoothed.note(self.metrics)
        accuracy = self.metrics.get("accuracy/validation")
        if accuracy is not None and (self.best is None or accuracy > self.best.accuracy):
            self.best = Best(self.epoch, accuracy, copy.deepcopy(dict(self.final.state_dict())))

    @property
    def final(self) -> nn.Module:
        """The network that is validated and kept: the moving average, or the network itself if there is none."""
        return self.average.current() if self.average else self.network

    @property
    def validation_accuracy(self) -> float | None:
        """The accuracy of the weights that `keep` selects; None without validation images."""
        best = self.best if self.settings.keep == "best" else None
        return best.accuracy if best else self.metrics.get("accuracy/validation")

    def other_state(self) -> dict[str, Any]:
        average = {"average": self.average.state()} if self.average else {}
        smoothness = {"smoothness": self.smoothed.history} if self.smoothed.layers else {}
        return {"best": self.best and self.best._asdict(), **average, **smoothness}

    def load_other_state(self, state: Mapping[str, Any]) -> None:
        self.best = state["best"] and Best(**state["best"])
        self.smoothed.history = list(state.get("smoothness", []))
        if self.average:
            self.average.load_state(state["average"])

    def classifier(self, about: Mapping[str, Any]) -> Classifier:
        """The trained classifier, with the weights that `keep` selects, on the CPU."""
        best = self.best if self.settings.keep == "best" else None
        weights = best.weights if best else self.final.state_dict()
        network = self.shape.build(self.settings.model, self.settings.seed)
        network.load_state_dict({name: tensor.cpu() for name, tensor in weights.items()})
        return Classifier(network.eval(), self.settings.model, self.shape, about)

    def _set_lr(self) -> None:
        for group in self._player.optimizer.param_groups:
            group["lr"] = self.settings.lr_at(self.progress) * group.get("lr_scale", 1.0)  # older checkpoints lack it

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        with self._watched_layers():
            return self._logits_of(self._parallel, images)

    def _logits_of(self, network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        with self.ranks.precision():
            logits: torch.Tensor = network(images)
        return logits.float()

    @contextmanager
    def _watched_layers(self) -> Iterator[None]:
        """Keeps the outputs of the layers that the objective needs. Attacks call the network too, and their outputs are
        not kept."""
        hooks = [
            layer.register_forward_hook(partial(self._keep_features, name)) for name, layer in self._layers.items()
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _keep_features(self, name: str, _: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        self._features[name] = output

    def _validate(self) -> dict[str, float]:
        if self.validation is None:
            return {}
        network = self.final.eval()
        sums = torch.zeros(3, dtype=torch.float64, device=self.ranks.device)
        with torch.inference_mode():
            for batch in self.validation.epoch(0):
                images, labels, valid = _on(batch, self.ranks.device)
                logits = self._logits_of(network, images)
                loss = (cross_entropy(logits, labels, reduction="none") * valid).sum()
                correct = ((logits.argmax(1) == labels) & valid).sum()
                sums += torch.stack([loss.double(), correct.double(), valid.sum().double()])
        loss_sum, right, images_seen = self.ranks.sum(sums).tolist()
        return {"loss/validation": loss_sum / images_seen, "accuracy/validation": right / images_seen}


def _pretrained(
    settings: TrainClassifier, shape: Shape, network: nn.Sequential
) -> tuple[Pretrained | None, SettingsError | None]:
    """What model.weights has given the network. A run that may be resumed needs them only if it is not, so the reason
    why they cannot be loaded is then returned. Raises SettingsError."""
    if settings.model.weights == "none":
        return None, None
    try:
        return load_weights(network, settings.model, shape), None
    except SettingsError as error:
        if settings.resume == "never":
            raise
        return None, error


def _loss(
    settings: TrainClassifier, class_counts: Sequence[float], device: torch.device
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The loss of each image. Raises SettingsError."""
    loss = partial(cross_entropy, reduction="none", label_smoothing=settings.label_smoothing)
    if not settings.class_balance:
        return loss
    if not class_counts:
        raise ValueError("class_balance needs the class_counts of the training images")
    weights = class_weights(class_counts, settings.class_balance).to(device)
    return lambda logits, labels: loss(logits, labels) * weights[labels]


def _number(seeds: np.random.SeedSequence) -> int:
    return int(seeds.generate_state(1, np.uint64)[0] >> 1)


def _layers_for(objective: Objective, network: nn.Module) -> dict[str, nn.Module]:
    """Those that it asks for. Raises SettingsError."""
    layers = dict(network.named_modules())
    for name in objective.layers:
        if name not in layers:
            raise SettingsError(f"objective={objective.kind}: needs the layer {name!r}, which this model does not have")
    return {name: layers[name] for name in objective.layers}


def _on(batch: Batch, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return to_unit_floats(batch.images, device), batch.labels.to(device), batch.valid.to(device)
