"""A grid from its settings to its table."""

import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from rich.console import Console

from pipelines.console import make_console
from pipelines.errors import RoadsignError
from pipelines.settings import to_yaml
from pipelines.store import recovered_groups
from pipelines.store.recovered_groups import RecoveredGroups
from pipelines.store.remote_copy import here
from pipelines.store.schema import CLEAN
from pipelines.store.shown import Shown
from training.classifiers.run import TrackedClassifier, decisive_digests, describe_run
from training.classifiers.settings import TrainClassifier
from training.classifiers.trained import Classifier
from training.evaluation.classifiers.files import replacing
from training.evaluation.classifiers.table import write_table
from training.evaluation.classifiers.variants import has_images, variants_of
from training.grids.differences import differences, differences_markdown
from training.grids.evaluating import evaluate_network
from training.grids.outcomes import GridError, Outcome, read_outcomes, write_outcomes
from training.grids.settings import RunGrid, Trainings
from training.grids.table import Results, find_flags, grid_table, markdown, shown_table
from training.loop.machine import machine_facts
from training.loop.ranks import Ranks, ranks_on
from training.loop.run_folder import RunFolder, find_runs
from training.loop.tracked_training import Command, run_training
from training.loop.workers import run_in_workers
from training.streams.open_split import open_split
from training.streams.stream import Data
from training.streams.variant_names import without_network
from training.tracking import TrackedRun, Tracking, reopened_run, tracked_run
from training.tracking.locks import FolderError, lock_folder

__all__ = ["describe_grid", "run_grid"]


def run_grid(settings: RunGrid, trainings: Trainings, command: Command) -> None:
    """Trains and evaluates what has no result yet, and writes the table. Raises GridError at the end if a training has
    failed; the others are then in the table."""
    console = make_console()
    for row in settings.chosen:
        _variants(settings, trainings.load(row, settings.seeds[0]).data)  # raises now, not after hours
    recovered = recovered_groups.read(settings.groups_file) if settings.groups == "recovered" else None
    try:
        with lock_folder(settings.folder), _run_of(settings, command) as run:
            console.print(f"{settings.folder}; run {run.run_id}")
            results, failed = _results(_Cells(settings, trainings, command, recovered, run.run_id), console)
            _write(settings, results, run, console)
    except FolderError as error:
        why = "another process runs this grid; wait for it, or stop it" if error.busy else error.reason
        raise GridError(f"{settings.folder}: {why}") from None
    if failed:
        raise GridError(f"{len(failed)} trainings have no result:\n" + "\n".join(f"  {one}" for one in failed))


def describe_grid(settings: RunGrid, trainings: Trainings) -> str:
    """What would be trained. Raises RoadsignError if it could not be."""
    lines = [f"{row}: {describe_run(trainings.load(row, settings.seeds[0]))}" for row in settings.chosen]
    return "\n".join([f"{settings.folder}: {len(lines)} rows, seeds {list(settings.seeds)}", *lines])


class _Cells(NamedTuple):
    """What all trainings of a grid share; `parent` is the id of its run."""

    settings: RunGrid
    trainings: Trainings
    command: Command
    recovered: RecoveredGroups | None
    parent: str

    def outcomes(self, row: str, seed: int) -> list[Outcome]:
        """Trains and evaluates what has not been. Raises RoadsignError."""
        training = self.trainings.load(row, seed)
        folder = _trained(training, self.trainings, row, self.command, self.parent)
        return _evaluated(self.settings, training, folder, self.recovered)

    def fill(self, cells: Iterable[tuple[str, int]]) -> None:
        """A training that fails does not keep the others from being made."""
        for row, seed in cells:
            console = make_console()
            console.print(f"{row}, seed {seed}")
            try:
                self.outcomes(row, seed)
            except RoadsignError as error:
                console.print(f"{row}, seed {seed}: failed: {error}")


def _results(cells: _Cells, console: Console) -> tuple[dict[str, list[list[Outcome]]], list[str]]:
    """By row, for each seed; and a sentence for each cell that has failed, in workers twice. Seeds come first, so that
    the table has all rows as early as possible."""
    settings = cells.settings
    places = [(row, seed) for seed in settings.seeds for row in settings.chosen]
    if settings.workers > 1 and len(places) > 1:
        run_in_workers(cells.fill, places, settings.workers)
    results: dict[str, list[list[Outcome]]] = {row: [] for row in settings.chosen}
    failed = []
    for row, seed in places:
        console.print(f"{row}, seed {seed}")
        try:
            results[row].append(cells.outcomes(row, seed))
        except RoadsignError as error:
            failed.append(f"{row}, seed {seed}: {error}")
            console.print(f"failed: {error}")
    return results, failed


def _trained(settings: TrainClassifier, trainings: Trainings, row: str, command: Command, parent: str) -> RunFolder:
    """The folder of the finished run with these settings, trained if there is none."""
    opened: list[_Child] = []

    def open_training(ranks: Ranks) -> _Child:
        opened.append(_Child(settings, ranks, row, parent))
        return opened[-1]

    fingerprint = settings.fingerprint(decisive_digests(settings), world_size=1)
    for folder in find_runs(here(settings.runs_root), f"*-{fingerprint[:6]}"):
        if folder.finished and folder.record.get("fingerprint") == fingerprint:
            return folder
    line = shlex.join(["python", "jobs/train_classifier.py", *trainings.overrides(row, settings.seed)])
    run_training(settings, Command(line, command.facts), open_training)
    return opened[0].folder


def _evaluated(
    settings: RunGrid, training: TrainClassifier, folder: RunFolder, recovered: RecoveredGroups | None
) -> list[Outcome]:
    """The outcomes of a trained network, from its folder if they are there."""
    data = training.data.model_copy(update={"verify": False})
    variants = _variants(settings, data)
    path = folder.path / f"outcomes-{_key(settings, data, variants, recovered)}.parquet"
    if path.exists():
        return read_outcomes(path)
    with ranks_on(training.device, "float32") as ranks:
        classifier = Classifier.read(folder.model, ranks.device)
        outcomes = evaluate_network(settings, classifier, data, variants, recovered, ranks.device, training.seed)
    write_outcomes(outcomes, path)
    with reopened_run(folder.path, str(folder.record["run_id"])) as run:
        run.log_metrics({f"accuracy/{one.shown.variant}": float(one.right.mean()) for one in outcomes})
    return outcomes


def _variants(settings: RunGrid, data: Data) -> list[str]:
    """Clean first. Raises GridError if the data set lacks one."""
    there = [name for name in variants_of(data, settings.split) if has_images(data, name, settings.split)]
    of_others = [name for name in there if without_network(name) != name]
    wanted = (
        [name for name in there if name not in of_others] if settings.variants == "all" else [CLEAN, *settings.variants]
    )
    if missing := [name for name in dict.fromkeys([CLEAN, *wanted]) if name not in there]:
        raise GridError(f"variants: {missing} not in {data.root}, {data.geometry}, {data.size_px} px; there: {there}")
    return list(dict.fromkeys([CLEAN, *wanted]))


def _key(settings: RunGrid, data: Data, variants: Sequence[str], recovered: RecoveredGroups | None) -> str:
    """A digest of what the outcomes of a network depend on besides its weights."""
    opened = {name: open_split(data.root, data.geometry, data.size_px, [name], settings.split) for name in variants}
    facts = [
        settings.split, recovered and recovered.digest, settings.attack_batch_size,
        [(name, one.variants[name].manifest.content_digest) for name, one in opened.items()],
        [attack.model_dump(mode="json") for attack in settings.grid.attacks],
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def _write(settings: RunGrid, results: Results, run: TrackedRun, console: Console) -> None:
    """The table as far as there are results, and what is suspicious in it."""
    there = {row: seeds for row, seeds in results.items() if seeds}
    found = differences(there)
    table, folder = grid_table(settings, there, found), settings.folder
    flags = find_flags(settings, there)
    compared = "\n" + differences_markdown(found, next(iter(there))) if found else ""
    with replacing(folder / "grid.md") as partial:
        partial.write_text(markdown(table) + compared + "".join(f"\n- {flag}" for flag in flags) + "\n")
    with replacing(folder / "grid.yaml") as partial:
        partial.write_text(to_yaml(settings))
    for path in (*write_table(table, folder, "grid"), folder / "grid.md", folder / "grid.yaml"):
        run.log_file(path)
    run.log_metrics({f"accuracy/{one['row']}/{_shown(one)}": one["accuracy"] for one in table.to_pylist()})
    console.print(shown_table(table))
    for flag in flags:
        console.print(f"suspicious: {flag}")
    console.print(f"table: {folder / 'grid.md'}")


def _shown(row: Mapping[str, Any]) -> str:
    return Shown(row["noise"], row["level"]).variant


@contextmanager
def _run_of(settings: RunGrid, command: Command) -> Iterator[TrackedRun]:
    """The tracked run of the grid, of which the runs of its trainings are children; the same one when the grid goes
    on."""
    folder = RunFolder(settings.folder)
    known = folder.record.get("run_id") if (settings.folder / "run.json").exists() else None
    tracking = Tracking(experiment="grids", system_metrics_every_s=0.0)
    facts = {**command.facts, **machine_facts()}
    values = settings.model_dump(mode="json")
    name = f"grid-{settings.grid.name}"
    with tracked_run(tracking, folder.path, name, values, command.line, [], facts, known) as run:
        folder.add_to_record(run_id=run.run_id)
        yield run


class _Child(TrackedClassifier):
    """A training whose run is a child of the grid's."""

    def __init__(self, settings: TrainClassifier, ranks: Ranks, row: str, parent: str) -> None:
        super().__init__(settings, ranks)
        self.facts = {**self.facts, "mlflow.parentRunId": parent, "row": row}
