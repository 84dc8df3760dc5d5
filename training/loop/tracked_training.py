"""What every training run has around its loop: streams, a locked folder, a tracked run, checkpoints, the console."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from pipelines.console import make_console, time_of_day
from pipelines.places import Place, Remote
from pipelines.store.remote_copy import RemoteCopy, shown
from pipelines.store.schema import Split
from training.loop.checkpoints import Checkpoint, fitting
from training.loop.machine import machine_facts
from training.loop.progress import EpochProgress
from training.loop.ranks import Ranks, keep_freed_memory, ranks_on
from training.loop.run_folder import RunFolder, hold_run_folder
from training.loop.training import Training
from training.streams.open_split import OpenSplit
from training.streams.stream import Batches, Cache, Data, open_stream
from training.tracking import DatasetUsed, TrackedRun, Tracking, tracked_run

__all__ = ["Command", "TrackedTraining", "describe_training", "opened_split", "run_training", "variant_digests"]


class Command(NamedTuple):
    """The command that repeats the run, and the version of the code, for the record."""

    line: str
    facts: Mapping[str, str]


class Recipe(Protocol):
    """The settings that every training run has."""

    @property
    def data(self) -> Data: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def checkpoint_every_steps(self) -> int: ...
    @property
    def device(self) -> Literal["auto", "cpu", "cuda"]: ...
    @property
    def precision(self) -> Literal["float32", "bfloat16"]: ...
    @property
    def cache(self) -> Cache: ...
    @property
    def runs_root(self) -> Place: ...
    @property
    def resume(self) -> str: ...
    @property
    def tracking(self) -> Tracking: ...

    def fingerprint(self, digests: Mapping[str, str], world_size: int, /) -> str: ...
    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


class TrackedTraining(ABC):
    """A training with its folder, its tracked run and its console. `run` is None on all ranks but 0: only rank 0 logs
    and writes. `name` names what is trained, for the name of the run; `streams` are the training and validation data;
    `digests` identify everything besides the settings that determines the weights."""

    kind: ClassVar[str]
    """Names the kind of training in checkpoints."""

    def __init__(
        self, training: Training, settings: Recipe, name: str, streams: Sequence[Batches], digests: Mapping[str, str]
    ) -> None:
        self.training = training
        self.settings = settings
        self.name = name
        self.streams = streams
        self.digests = dict(digests)
        self.facts: dict[str, str] = {}
        """Tags of the run, besides those of every run."""
        self.folder = RunFolder(Path())
        self.run: TrackedRun | None = None
        self.console = make_console(quiet=True)

    @abstractmethod
    def describe(self) -> str:
        """What is trained on what, in one line."""

    @abstractmethod
    def check_precision(self) -> None:
        """Raises SettingsError if this processor computes the networks incorrectly in the precision of the settings."""

    @abstractmethod
    def epoch_line(self) -> str:
        """The console line of a finished epoch."""

    def after_step(self) -> None:  # noqa: B027 - most trainings have nothing to do here
        """Called after each step that does not end an epoch."""

    def after_epoch(self) -> None:  # noqa: B027
        """Called when the metrics of an epoch are known, before its checkpoint."""

    def after_checkpoint(self) -> None:  # noqa: B027
        """Called after the checkpoint of an epoch, when its metrics are tracked."""

    @abstractmethod
    def finish(self, run: TrackedRun) -> None:
        """Writes the model and logs it; called on rank 0 only."""

    def train(self) -> None:
        """Trains from the current position to the last epoch. Writes a checkpoint after each epoch, and within epochs
        if the settings ask for it."""
        training, every = self.training, self.settings.checkpoint_every_steps
        progress = EpochProgress(self.console, training, self.settings.epochs)
        while training.epoch < self.settings.epochs:
            for _ in progress.steps():
                if training.step < len(training.train):
                    self.after_step()
                    if every and training.step % every == 0:
                        self.save_checkpoint()
            training.finish_epoch()
            self.after_epoch()
            epoch = f"{time_of_day(self.console)}epoch {training.epoch}/{self.settings.epochs}"
            self.console.print(f"{epoch}: {self.epoch_line()}")
            if self.run:
                self.run.log_metrics(training.metrics, training.epoch)
            self.save_checkpoint()
            self.after_checkpoint()

    def resume(self) -> None:
        """Resumes from the checkpoint in the folder if there is one. Raises CheckpointError."""
        if self.folder.checkpoint.is_file():
            found = Checkpoint.read(self.folder.checkpoint, self.training.ranks.device, kind=self.kind)
            with fitting(self.folder.checkpoint, "this training; use resume=never to start again"):
                self.training.load_state(found.state)
            place = f"epoch {self.training.epoch}, step {self.training.step}"
            self.console.print(f"resuming {shown(self.folder.path)} after {place}")

    def save_checkpoint(self) -> None:
        state = self.training.state()
        if self.training.ranks.is_first:
            Checkpoint({"kind": self.kind}, state).write(self.folder.checkpoint)
            if self.folder.copy:
                self.folder.copy.send_later()


def run_training(settings: Recipe, command: Command, open_training: Callable[[Ranks], TrackedTraining]) -> None:
    """One training run from its settings to a tracked model: on this device, or as one of many ranks. Only rank 0 logs
    and writes. Raises RoadsignError."""
    keep_freed_memory()
    with ranks_on(settings.device, settings.precision) as ranks:
        tracked = open_training(ranks)
        tracked.console = make_console(quiet=not ranks.is_first)
        tracked.console.print(tracked.describe())
        tracked.check_precision()
        with run_folder(settings, ranks, tracked.name, tracked.digests, command) as tracked.folder:
            facts = {**command.facts, **tracked.facts}
            with tracked_by_first(
                settings, ranks, tracked.name, tracked.streams, tracked.folder, command._replace(facts=facts)
            ) as tracked.run:
                tracked.resume()
                tracked.train()
                if tracked.run:
                    tracked.finish(tracked.run)
            if tracked.run:  # its last status is on disk: a kill before it leaves a run that can be resumed
                tracked.folder.add_to_record(finished=True)
                tracked.console.print(f"model: {shown(tracked.folder.model)}\nrun:   {tracked.run.run_id}")


def describe_training(settings: Recipe, open_training: Callable[[Ranks], TrackedTraining]) -> str:
    """What would be trained, in one line. Raises RoadsignError if it could not be trained."""
    with ranks_on(settings.device, settings.precision) as ranks:
        return open_training(ranks).describe()


def opened_split(
    settings: Recipe, ranks: Ranks, split: Split, classes: Sequence[int] | None = None, also: Sequence[Split] = (),
    batch_size: int | None = None,
) -> Batches:  # fmt: skip
    """This rank's stream of `split`, and of those of `also` as parts of it; `batch_size` is that of the settings if it
    is not given. Raises StreamError."""
    return open_stream(
        settings.data.of_split(split), [split, *also], seed=settings.seed, batch_size=batch_size or settings.batch_size,
        rank=ranks.rank, world_size=ranks.world_size, cache=settings.cache, device=ranks.device, classes=classes,
    )  # fmt: skip


def variant_digests(source: OpenSplit) -> dict[str, str]:
    """The content digests of the variants, by name."""
    return {name: variant.manifest.content_digest for name, variant in source.variants.items()}


@contextmanager
def run_folder(
    settings: Recipe, ranks: Ranks, kind: str, digests: Mapping[str, str], command: Command
) -> Iterator[RunFolder]:
    """The run folder, locked by rank 0 and known to all ranks."""
    if not ranks.is_first:
        with _of_first(settings.runs_root, ranks) as path:
            yield RunFolder(path)
        return
    name = _run_name(settings, kind)
    fingerprint = settings.fingerprint(digests, ranks.world_size)
    with hold_run_folder(settings.runs_root, settings.resume, name, fingerprint, command.line) as folder:
        ranks.from_first(folder.path)
        yield folder


@contextmanager
def _of_first(runs_root: Place, ranks: Ranks) -> Iterator[Path]:
    """The folder of rank 0; a copy of it, where it is in an object store."""
    path = ranks.from_first(Path())
    if not isinstance(runs_root, Remote):
        yield path
        return
    copy = RemoteCopy(runs_root / path.name)
    try:
        copy.fetch()
        yield copy.folder
    finally:
        shutil.rmtree(copy.folder, ignore_errors=True)


def _run_name(settings: Recipe, kind: str) -> str:
    """Of the recipe, the size and the seed; a folder has the time and a digest besides."""
    return f"{settings.tracking.name or kind}-{settings.data.size_px}px-seed{settings.seed}"


@contextmanager
def tracked_by_first(
    settings: Recipe, ranks: Ranks, kind: str, streams: Sequence[Batches], folder: RunFolder, command: Command
) -> Iterator[TrackedRun | None]:
    """The tracked run on rank 0, None on the others."""
    if not ranks.is_first:
        yield None
        return
    datasets = [used for batches in streams for used in _datasets(batches)]
    facts = {**command.facts, **machine_facts(), "device": str(ranks.device), "ranks": str(ranks.world_size)}
    with tracked_run(
        settings.tracking, folder.path, _run_name(settings, kind), settings.model_dump(mode="json"), command.line,
        datasets, facts, folder.record.get("run_id"),
    ) as run:  # fmt: skip
        folder.add_to_record(run_id=run.run_id)
        yield run


def _datasets(batches: Batches) -> list[DatasetUsed]:
    """The datasets, for the record. MLflow merges datasets of equal name and digest, so the name contains the split."""
    source, used = batches.source, []
    for name, variant in source.variants.items():
        fingerprint, digest = variant.manifest.fingerprint, variant.manifest.content_digest
        facts = {
            "variant": name, "size_px": source.size_px, "pixel_dtype": variant.pixel_dtype,
            "share": batches.weights[name], "source_digest": fingerprint.get("source_digest"),
        }  # fmt: skip
        dataset = f"{fingerprint.get('dataset', 'dataset')}-{source.size_px}px-{name}-{source.split}"
        used.append(DatasetUsed(dataset, digest, variant.folder, source.split, batches.images, facts, variant.columns))
    return used
