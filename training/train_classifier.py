"""One training run from its settings to a tracked model: on this device, or as one of many ranks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from pipelines.schema import Split
from training.checkpoints import Checkpoint
from training.classifier import ClassifierTraining
from training.data import Batches, open_stream, to_unit_floats
from training.distributed import Ranks, keep_freed_memory, ranks_on
from training.machine import machine_facts
from training.progress import EpochProgress, epoch_line
from training.recipe import TrainClassifier
from training.runs import RunFolder, hold_run_folder
from training.tracking import DatasetUsed, TrackedRun, tracked_run
from training.trained import Shape

__all__ = ["Command", "describe_run", "open_splits", "train_classifier", "train_on_rank"]

KIND = "classifier training"


class Command(NamedTuple):
    """What repeats the run, and which code it is, for the record."""

    line: str
    facts: Mapping[str, str]


def train_on_rank(settings_json: str, line: str, facts: Mapping[str, str]) -> None:
    """train_classifier with arguments that travel to other machines."""
    train_classifier(TrainClassifier.model_validate_json(settings_json), Command(line, facts))


def train_classifier(settings: TrainClassifier, command: Command) -> None:
    """Trains, keeps checkpoints, tracks; of many ranks the first one speaks and writes. Raises RoadsignError."""
    keep_freed_memory()
    with ranks_on(settings.device, settings.precision) as ranks:
        console = Console(quiet=not ranks.is_first)
        train, validation = open_splits(settings, ranks)
        training = ClassifierTraining(settings, Shape.of(train), ranks, train, validation)
        console.print(_describe(training))
        with _run_folder(training, command) as folder, _tracked(training, folder, command) as run:
            if folder.checkpoint.is_file():
                training.load_state(Checkpoint.read(folder.checkpoint, ranks.device, kind=KIND).state)
                console.print(f"going on after epoch {training.epoch}, step {training.step} of {folder.path}")
            _train_epochs(training, folder, run, console)
            if run:
                _finish(training, folder, run)
                console.print(f"model: {folder.model}\nrun:   {run.run_id}", soft_wrap=True)


def describe_run(settings: TrainClassifier) -> str:
    """What would be trained, in one line. Raises RoadsignError where it could not."""
    with ranks_on(settings.device, settings.precision) as ranks:
        train, validation = open_splits(settings, ranks)
        return _describe(ClassifierTraining(settings, Shape.of(train), ranks, train, validation))


def _describe(training: ClassifierTraining) -> str:
    parameters = sum(parameter.numel() for parameter in training.network.parameters())
    settings, train, ranks = training.settings, training.train, training.ranks
    return (
        f"{settings.model.kind}, {parameters:,} parameters, on {train.images:,} images of {training.shape.size_px} px: "
        f"{settings.epochs} epochs of {len(train):,} steps; device {ranks.device}, {ranks.world_size} ranks"
    )


def open_splits(settings: TrainClassifier, ranks: Ranks) -> tuple[Batches, Batches]:
    """The streams of the training and of the validation tracks."""

    def opened(split: Split) -> Batches:
        return open_stream(
            settings.data, split, seed=settings.seed, batch_size=settings.batch_size, rank=ranks.rank,
            world_size=ranks.world_size, cache=settings.cache, device=ranks.device,
        )  # fmt: skip

    return opened("train"), opened("validation")


def _datasets(batches: Batches) -> list[DatasetUsed]:
    """For the record. MLflow takes two of the same name and digest for one, so the split is in the name."""
    source, used = batches.source, []
    for name, variant in source.variants.items():
        fingerprint, digest = variant.manifest.fingerprint, variant.manifest.content_digest
        facts = {
            "variant": name, "size_px": source.size_px, "pixel_dtype": variant.pixel_dtype,
            "share": batches.weights[name], "source_digest": fingerprint.get("source_digest"),
        }  # fmt: skip
        dataset = f"{fingerprint.get('dataset', 'dataset')}-{source.size_px}px-{name}-{source.split}"
        used.append(DatasetUsed(dataset, digest, variant.folder, source.split, batches.images, facts))
    return used


def _digests(training: ClassifierTraining) -> dict[str, str]:
    return {name: variant.manifest.content_digest for name, variant in training.train.source.variants.items()}


@contextmanager
def _run_folder(training: ClassifierTraining, command: Command) -> Iterator[RunFolder]:
    """Held by rank 0; all ranks see it."""
    settings, ranks = training.settings, training.ranks
    if not ranks.is_first:
        yield RunFolder(ranks.from_first(Path()))
        return
    name = f"{settings.model.kind}-{settings.data.size_px}px-seed{settings.seed}"
    fingerprint = settings.fingerprint(_digests(training), ranks.world_size)
    with hold_run_folder(settings.runs_root, settings.resume, name, fingerprint, command.line) as folder:
        ranks.from_first(folder.path)
        yield folder


@contextmanager
def _tracked(training: ClassifierTraining, folder: RunFolder, command: Command) -> Iterator[TrackedRun | None]:
    """The run on rank 0, None on the others."""
    settings, ranks = training.settings, training.ranks
    if not ranks.is_first:
        yield None
        return
    datasets = [*_datasets(training.train), *_datasets(training.validation)]
    facts = {**command.facts, **machine_facts(), "device": str(ranks.device), "ranks": str(ranks.world_size)}
    with tracked_run(
        settings.tracking, folder.path, folder.path.name, settings.model_dump(mode="json"), command.line, datasets,
        facts, folder.record.get("run_id"),
    ) as run:  # fmt: skip
        folder.add_to_record(run_id=run.run_id)
        yield run


def _train_epochs(training: ClassifierTraining, folder: RunFolder, run: TrackedRun | None, console: Console) -> None:
    settings = training.settings
    progress = EpochProgress(console, training, training.train, settings.epochs)
    while training.epoch < settings.epochs:
        for _ in progress.steps():
            every = settings.checkpoint_every_steps
            if every and training.step % every == 0 and training.step < len(training.train):
                _checkpoint(training, folder)
        training.finish_epoch()
        console.print(epoch_line(training.epoch, settings.epochs, training.metrics))
        if run:
            run.log_metrics(training.metrics, training.epoch)
        _checkpoint(training, folder)


def _checkpoint(training: ClassifierTraining, folder: RunFolder) -> None:
    state = training.state()
    if training.ranks.is_first:
        Checkpoint({"kind": KIND}, state).write(folder.checkpoint)


def _finish(training: ClassifierTraining, folder: RunFolder, run: TrackedRun) -> None:
    settings = training.settings.model_dump(mode="json")
    about = {"settings": settings, "datasets": _digests(training), "run_id": run.run_id, "metrics": training.metrics}
    classifier = training.classifier(about)
    classifier.write(folder.model)
    run.log_file(folder.model, "checkpoint")
    example = next(training.validation.epoch(0)).images[:2]
    run.log_model(classifier.network, to_unit_floats(example, training.ranks.device))
    if best := training.best:
        run.log_metrics({"best/accuracy/validation": best.accuracy, "best/epoch": best.epoch}, training.epoch)
    folder.add_to_record(finished=True)
