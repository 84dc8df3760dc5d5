"""What every training run has around its loop: streams, a folder that is held, a tracked run, checkpoints."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rich.console import Console

from pipelines.store.schema import Split
from training.loop.checkpoints import Checkpoint, fitting
from training.loop.machine import machine_facts
from training.loop.ranks import Ranks
from training.loop.run_folder import RunFolder, hold_run_folder
from training.streams.stream import Batches, Cache, Data, open_stream
from training.tracking import DatasetUsed, TrackedRun, Tracking, tracked_run

__all__ = [
    "Command",
    "Training",
    "dataset_digests",
    "opened_split",
    "resumed",
    "run_folder",
    "save_checkpoint",
    "tracked",
]


class Command(NamedTuple):
    """What repeats the run, and which code it is, for the record."""

    line: str
    facts: Mapping[str, str]


class Recipe(Protocol):
    """Of the settings of a training run."""

    @property
    def data(self) -> Data: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def cache(self) -> Cache: ...
    @property
    def runs_root(self) -> Path: ...
    @property
    def resume(self) -> str: ...
    @property
    def tracking(self) -> Tracking: ...

    def fingerprint(self, digests: Mapping[str, str], world_size: int, /) -> str: ...
    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


class Training(Protocol):
    """What can be stopped and gone on with."""

    ranks: Ranks
    epoch: int
    step: int

    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: Mapping[str, Any], /) -> None: ...


def opened_split(settings: Recipe, ranks: Ranks, split: Split, classes: Sequence[int] | None = None) -> Batches:
    """This rank's stream. Raises StreamError."""
    return open_stream(
        settings.data.of_split(split), split, seed=settings.seed, batch_size=settings.batch_size, rank=ranks.rank,
        world_size=ranks.world_size, cache=settings.cache, device=ranks.device, classes=classes,
    )  # fmt: skip


def dataset_digests(batches: Batches) -> dict[str, str]:
    """Of the variants, by name."""
    return {name: variant.manifest.content_digest for name, variant in batches.source.variants.items()}


@contextmanager
def run_folder(
    settings: Recipe, ranks: Ranks, kind: str, digests: Mapping[str, str], command: Command
) -> Iterator[RunFolder]:
    """Held by rank 0; all ranks see it."""
    if not ranks.is_first:
        yield RunFolder(ranks.from_first(Path()))
        return
    name = f"{kind}-{settings.data.size_px}px-seed{settings.seed}"
    fingerprint = settings.fingerprint(digests, ranks.world_size)
    with hold_run_folder(settings.runs_root, settings.resume, name, fingerprint, command.line) as folder:
        ranks.from_first(folder.path)
        yield folder


@contextmanager
def tracked(
    settings: Recipe, ranks: Ranks, streams: Sequence[Batches], folder: RunFolder, command: Command
) -> Iterator[TrackedRun | None]:
    """The run on rank 0, None on the others."""
    if not ranks.is_first:
        yield None
        return
    datasets = [used for batches in streams for used in _datasets(batches)]
    facts = {**command.facts, **machine_facts(), "device": str(ranks.device), "ranks": str(ranks.world_size)}
    with tracked_run(
        settings.tracking, folder.path, folder.path.name, settings.model_dump(mode="json"), command.line, datasets,
        facts, folder.record.get("run_id"),
    ) as run:  # fmt: skip
        folder.add_to_record(run_id=run.run_id)
        yield run


def resumed(training: Training, folder: RunFolder, kind: str, console: Console) -> None:
    """Goes on with the folder's checkpoint where there is one. Raises CheckpointError."""
    if folder.checkpoint.is_file():
        found = Checkpoint.read(folder.checkpoint, training.ranks.device, kind=kind)
        with fitting(folder.checkpoint, "this training; give resume=never to begin anew"):
            training.load_state(found.state)
        console.print(f"going on after epoch {training.epoch}, step {training.step} of {folder.path}")


def save_checkpoint(training: Training, folder: RunFolder, kind: str) -> None:
    state = training.state()
    if training.ranks.is_first:
        Checkpoint({"kind": kind}, state).write(folder.checkpoint)


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
