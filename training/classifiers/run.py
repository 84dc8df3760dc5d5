"""One training run of a classifier from its settings to a tracked model."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from training.augmentation.augmentation import Mirrors
from training.classifiers.balance import class_counts
from training.classifiers.image_norms import mean_norm
from training.classifiers.settings import TrainClassifier
from training.classifiers.smoothness_figure import save_smoothness
from training.classifiers.teachers import check_teachers
from training.classifiers.trained import Classifier, Shape
from training.classifiers.training import ClassifierTraining
from training.loop.bfloat16_check import check_bfloat16
from training.loop.progress import pace_line
from training.loop.ranks import Ranks
from training.loop.tracked_training import (
    Command,
    TrackedTraining,
    describe_training,
    opened_split,
    run_training,
    variant_digests,
)
from training.streams.beside import Joined, open_beside
from training.streams.open_split import open_split
from training.streams.stream import Batches, to_unit_floats
from training.tracking import TrackedRun

__all__ = ["TrackedClassifier", "decisive_digests", "describe_run", "make_training", "open_splits", "train_classifier"]


def train_classifier(settings: TrainClassifier, command: Command) -> None:
    """Trains, writes checkpoints, tracks; only rank 0 logs and writes. Raises RoadsignError."""
    run_training(settings, command, lambda ranks: TrackedClassifier(settings, ranks))


def describe_run(settings: TrainClassifier) -> str:
    """What would be trained, in one line. Raises RoadsignError if it could not be trained."""
    return describe_training(settings, lambda ranks: TrackedClassifier(settings, ranks))


def decisive_digests(settings: TrainClassifier) -> dict[str, str]:
    """What the fingerprint of a run depends on besides its settings: the digests of its images, of those beside them,
    and of the teachers. Reads manifests and the teachers' files. Raises StreamError, CheckpointError."""
    data = settings.data
    digests = variant_digests(open_split(data.root, data.geometry, data.size_px, list(data.mixture), "train"))
    if beside := settings.beside:
        other = open_split(beside.root, data.geometry, data.size_px, list(beside.mixture), "train")
        digests |= _beside(variant_digests(other))
    teachers = [Classifier.read(path, torch.device("cpu")) for path in settings.objective.teacher_files or ()]
    return {**digests, **_of_teachers(teachers)}


def _beside(digests: Mapping[str, str]) -> dict[str, str]:
    return {f"beside/{name}": digest for name, digest in digests.items()}


def _of_teachers(teachers: Sequence[Classifier]) -> dict[str, str]:
    return {f"teacher_{number}": teacher.digest for number, teacher in enumerate(teachers)}


def open_splits(settings: TrainClassifier, ranks: Ranks) -> tuple[Batches, Batches | None]:
    """The streams of the images to train on and of the validation tracks, unless these are trained on."""
    own = settings.batch_size - (settings.beside.images_of(settings.batch_size) if settings.beside else 0)
    train = opened_split(settings, ranks, "train", also=settings.train_on[1:], batch_size=own)
    return train, opened_split(settings, ranks, "validation") if settings.validates else None


def make_training(
    settings: TrainClassifier, ranks: Ranks, train: Batches, validation: Batches | None
) -> ClassifierTraining:
    """The training before its first step, with the settings that depend on the card of the data set. Raises
    SettingsError."""
    card = train.source.card
    beside = _opened_beside(settings, ranks, train)
    settings = settings.model_copy(update={"augmentation": settings.augmentation.for_card(card)})
    counts = class_counts(train, beside) if settings.class_balance else ()
    norm = mean_norm(train, ranks) if settings.objective.needs_mean_norm else math.nan
    training = ClassifierTraining(
        settings, Shape.of(train), ranks, Joined(train, beside) if beside else train, validation, Mirrors.of(card),
        class_counts=counts, mean_norm=norm,
    )  # fmt: skip
    check_teachers(settings.objective, training.teachers, card, settings.data.geometry)
    return training


def _opened_beside(settings: TrainClassifier, ranks: Ranks, train: Batches) -> Batches | None:
    if settings.beside is None:
        return None
    return open_beside(
        settings.beside, settings.data, train, "train", settings.batch_size, settings.cache, ranks.device
    )


class TrackedClassifier(TrackedTraining):
    kind: ClassVar[str] = "classifier training 2"
    training: ClassifierTraining

    def __init__(self, settings: TrainClassifier, ranks: Ranks) -> None:
        train, validation = open_splits(settings, ranks)
        training = make_training(settings, ranks, train, validation)
        streams = [train, validation] if validation else [train]
        self.datasets = variant_digests(train.source)
        if isinstance(training.train, Joined):
            beside = training.train.other.batches
            streams.insert(1, beside)
            self.datasets |= _beside(variant_digests(beside.source))
        teachers = _of_teachers(training.teachers)
        super().__init__(training, training.settings, settings.model.kind, streams, {**self.datasets, **teachers})
        self.facts = teachers
        self.card = train.source.card

    def describe(self) -> str:
        training, ranks = self.training, self.training.ranks
        parameters = sum(parameter.numel() for parameter in training.network.parameters())
        return (
            f"{self.name}, {parameters:,} parameters, on {training.train.images:,} images of {training.shape.size_px} "
            f"px{self._beside_text()}: {self.settings.epochs} epochs of {len(training.train):,} steps; device "
            f"{ranks.device}, {ranks.world_size} ranks; flips: {training.settings.augmentation.flips}"
            + (f"; {training.pretrained}" if training.pretrained else "")
        )

    def _beside_text(self) -> str:
        settings = self.training.settings
        if settings.beside is None:
            return ""
        count = settings.beside.images_of(settings.batch_size)
        return f", with {count} of {settings.batch_size} images of each batch from {settings.beside.root}"

    def resume(self) -> None:
        """Also records the weights that the run starts from. Raises SettingsError if it starts and has none."""
        super().resume()
        training = self.training
        if training.weights_error and not training.steps_taken:
            raise training.weights_error
        if self.run is None or training.settings.model.weights == "none":
            return
        begun_with, found = self.folder.record.get("weights"), training.pretrained
        if begun_with is None and found:
            self.folder.add_to_record(weights=found._asdict())
            self.run.set_tags({"weights_file": found.file, "weights_sha256": found.sha256})
            self.run.log_json("weights.json", {**found._asdict(), "report": str(found)})
        elif begun_with and training.steps_taken and (found is None or found.sha256 != begun_with["sha256"]):
            now = f"has SHA-256 {found.sha256[:12]} now" if found else "cannot be loaded now"
            first = f"the run began with weights of SHA-256 {begun_with['sha256'][:12]}"
            self.console.print(f"{first}; {begun_with['file']} {now}, and is not used")

    def check_precision(self) -> None:
        training, size_px = self.training, self.training.shape.size_px
        shape = (self.settings.batch_size, training.shape.channels, size_px, size_px)
        images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        check_bfloat16(training.ranks, training.network, images)

    def epoch_line(self) -> str:
        metrics = self.training.metrics
        validated = "validation images are trained on"
        if self.training.validation:
            accuracy = metrics["accuracy/validation"]
            validated = f"validation {metrics['loss/validation']:.3f}, {accuracy:.2%}"
        return f"loss {metrics['loss/train']:.3f}, {metrics['accuracy/train']:.2%}; {validated}; {pace_line(metrics)}"

    def finish(self, run: TrackedRun) -> None:
        training = self.training
        about: dict[str, Any] = {
            "settings": self.settings.model_dump(mode="json"), "datasets": self.datasets, "run_id": run.run_id,
            "metrics": training.metrics, "validation_accuracy": training.validation_accuracy,
            "card": self.card.model_dump(mode="json"),
        }  # fmt: skip
        if training.teachers:
            about["teachers"] = [teacher.digest for teacher in training.teachers]
        if weights := self.folder.record.get("weights"):
            about["weights"] = weights
        classifier = training.classifier(about)
        classifier.write(self.folder.model)
        run.log_file(self.folder.model, "checkpoint")
        example = next((training.validation or training.train).epoch(0)).images[:2]
        images = to_unit_floats(example, training.ranks.device)
        run.log_model(classifier.network, images, self.card.class_names, classifier.geometry)
        if history := training.smoothed.history:
            path = self.folder.path / "smoothness.png"
            run.log_file(save_smoothness(history, f"{self.name}, {training.shape.size_px} px", path), "figures")
        if best := training.best:
            run.log_metrics({"best/accuracy/validation": best.accuracy, "best/epoch": best.epoch}, training.epoch)
