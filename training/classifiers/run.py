"""One training run of a classifier from its settings to a tracked model: on this device, or as one of many ranks."""

from collections.abc import Mapping

import torch
from rich.console import Console

from training.classifiers.settings import TrainClassifier
from training.classifiers.trained import Shape
from training.classifiers.training import ClassifierTraining
from training.loop.bfloat16_check import check_bfloat16
from training.loop.progress import EpochProgress, epoch_line, make_console
from training.loop.ranks import Ranks, keep_freed_memory, ranks_on
from training.loop.run_folder import RunFolder
from training.loop.tracked_training import (
    Command,
    dataset_digests,
    opened_split,
    resumed,
    run_folder,
    save_checkpoint,
    tracked,
)
from training.streams.stream import Batches, to_unit_floats
from training.tracking import TrackedRun

__all__ = ["describe_run", "open_splits", "train_classifier"]

KIND = "classifier training"


def train_classifier(settings: TrainClassifier, command: Command) -> None:
    """Trains, keeps checkpoints, tracks; of many ranks the first one speaks and writes. Raises RoadsignError."""
    keep_freed_memory()
    with ranks_on(settings.device, settings.precision) as ranks:
        console = make_console(quiet=not ranks.is_first)
        train, validation = open_splits(settings, ranks)
        training = ClassifierTraining(settings, Shape.of(train), ranks, train, validation)
        console.print(_describe(training))
        check_bfloat16(ranks, training.network, _noise(settings.batch_size, training.shape.size_px))
        digests = dataset_digests(train)
        with (
            run_folder(settings, ranks, settings.model.kind, digests, command) as folder,
            tracked(settings, ranks, [train, validation], folder, command) as run,
        ):
            resumed(training, folder, KIND, console)
            _train_epochs(training, folder, run, console)
            if run:
                _finish(training, digests, folder, run)
                console.print(f"model: {folder.model}\nrun:   {run.run_id}")


def describe_run(settings: TrainClassifier) -> str:
    """What would be trained, in one line. Raises RoadsignError where it could not."""
    with ranks_on(settings.device, settings.precision) as ranks:
        train, validation = open_splits(settings, ranks)
        return _describe(ClassifierTraining(settings, Shape.of(train), ranks, train, validation))


def _noise(images: int, size_px: int) -> torch.Tensor:
    return torch.rand(images, 3, size_px, size_px, generator=torch.Generator().manual_seed(0))


def _describe(training: ClassifierTraining) -> str:
    parameters = sum(parameter.numel() for parameter in training.network.parameters())
    settings, train, ranks = training.settings, training.train, training.ranks
    return (
        f"{settings.model.kind}, {parameters:,} parameters, on {train.images:,} images of {training.shape.size_px} px: "
        f"{settings.epochs} epochs of {len(train):,} steps; device {ranks.device}, {ranks.world_size} ranks"
    )


def open_splits(settings: TrainClassifier, ranks: Ranks) -> tuple[Batches, Batches]:
    """The streams of the training and of the validation tracks."""
    return opened_split(settings, ranks, "train"), opened_split(settings, ranks, "validation")


def _train_epochs(training: ClassifierTraining, folder: RunFolder, run: TrackedRun | None, console: Console) -> None:
    settings = training.settings
    progress = EpochProgress(console, training, training.train, settings.epochs)
    while training.epoch < settings.epochs:
        for _ in progress.steps():
            every = settings.checkpoint_every_steps
            if every and training.step % every == 0 and training.step < len(training.train):
                save_checkpoint(training, folder, KIND)
        training.finish_epoch()
        console.print(epoch_line(training.epoch, settings.epochs, training.metrics))
        if run:
            run.log_metrics(training.metrics, training.epoch)
        save_checkpoint(training, folder, KIND)


def _finish(training: ClassifierTraining, digests: Mapping[str, str], folder: RunFolder, run: TrackedRun) -> None:
    settings = training.settings.model_dump(mode="json")
    about = {
        "settings": settings, "datasets": dict(digests), "run_id": run.run_id, "metrics": training.metrics,
        "validation_accuracy": training.validation_accuracy,
    }  # fmt: skip
    classifier = training.classifier(about)
    classifier.write(folder.model)
    run.log_file(folder.model, "checkpoint")
    example = next(training.validation.epoch(0)).images[:2]
    run.log_model(classifier.network, to_unit_floats(example, training.ranks.device))
    if best := training.best:
        run.log_metrics({"best/accuracy/validation": best.accuracy, "best/epoch": best.epoch}, training.epoch)
    folder.add_to_record(finished=True)
