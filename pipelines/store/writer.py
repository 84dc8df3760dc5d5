"""Writes datasets so that each becomes visible in one step. The only writer of datasets.

Executors write to a hidden staging folder through a Spark data source; its commit, on the driver, moves complete
variants into place. A killed run leaves files only in the staging folder, and the next run removes them."""

import contextlib
import csv
import re
import shutil
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql.datasource import DataSource, DataSourceArrowWriter, WriterCommitMessage
from pyspark.sql.types import StructType

from pipelines.datasets import DatasetCard, Rejected
from pipelines.errors import StoreError
from pipelines.store.atomic_file import atomic_file
from pipelines.store.attacked_images import attack_statistics
from pipelines.store.cell_rows import CellRows
from pipelines.store.contents import check_files
from pipelines.store.folders import lock_folder, staging_folder, swap, write_durably
from pipelines.store.generated_images import choice_statistics
from pipelines.store.part_files import PartFile, by_part
from pipelines.store.schema import HUGGING_FACE_NAME, MANIFEST_NAME, Cell, Manifest, Part, Split, hugging_face_config
from pipelines.store.statistics import Tally

__all__ = ["Plan", "cause_of", "find_damage", "is_current", "locked", "outdated", "write_datasets", "write_rejected"]

Expand = Callable[[pa.Table], Iterator[CellRows]]
"""Turns rows of the frame into CellRows, one per cell."""
MakeExpand = Callable[[], Expand]
"""Called once per task."""
Key = TypeVar("Key")


@dataclass(frozen=True)
class Plan:
    """What write_datasets makes: the fingerprint of each cell, the number of rows per split, and the facts for every
    manifest."""

    root: Path
    card: DatasetCard
    fingerprints: Mapping[Cell, dict[str, Any]]
    counts: Mapping[Split, int]
    source: Mapping[str, Any]
    made_by: Mapping[str, str]
    rows_per_row_group: int
    """The number of the frame's rows that become one row group in each cell."""
    compression: str
    groups_per_class: Mapping[Split, Mapping[int, int]] | None = None
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Separates this run's staging files from those of surviving tasks of a killed run."""

    @property
    def staging(self) -> Path:
        return staging_folder(self.root) / self.run


@dataclass
class Written(WriterCommitMessage):
    """The files that one task wrote to the staging folder, and their sums."""

    parts: list[tuple[Cell, Part, str]] = field(default_factory=list)
    tallies: dict[tuple[Cell, Split], Tally] = field(default_factory=dict)


def is_current(folder: Path, fingerprint: Mapping[str, Any], verify: bool = False) -> bool:
    """Whether `folder` contains a complete dataset with this fingerprint: its manifest has it and `find_damage` finds
    none."""
    manifest = Manifest.read(folder)
    return (
        manifest is not None and manifest.fingerprint == fingerprint and find_damage(folder, manifest, verify) is None
    )


def find_damage(folder: Path, manifest: Manifest, verify: bool = False) -> str | None:
    """Describes the first difference from the manifest, or None: in the files' sizes and, with `verify`, in their
    rows."""
    for part in manifest.parts:
        path = folder / part.path
        size = path.stat().st_size if path.is_file() else None
        if size != part.bytes:
            return f"{path}: {'missing' if size is None else f'{size} bytes'}, but the manifest says {part.bytes} bytes"
    try:
        if verify:
            check_files(folder, manifest)
    except ValueError as error:
        return str(error)
    return None


def outdated(
    root: Path, fingerprints: Mapping[Cell, dict[str, Any]], verify: bool = False
) -> dict[Cell, dict[str, Any]]:
    """The entries of `fingerprints` whose datasets must be made."""
    return {cell: wanted for cell, wanted in fingerprints.items() if not is_current(cell.folder(root), wanted, verify)}


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Locks `root` for one writer and empties the staging folder, where a killed run may have left files. Raises
    StoreError."""
    with lock_folder(root, root, "output_root"):
        shutil.rmtree(staging_folder(root), ignore_errors=True)
        yield


def write_rejected(root: Path, rejected: Sequence[Rejected]) -> Path:
    """Writes the table of rejected inputs with reasons, or removes it if nothing was rejected. Returns its path."""
    path = root / "_rejected.csv"
    if not rejected:
        path.unlink(missing_ok=True)
        return path
    with (
        atomic_file(path) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        csv.writer(file).writerows([Rejected._fields, *rejected])
    return path


def write_datasets(frame: DataFrame, make_expand: MakeExpand, plan: Plan) -> None:
    """Writes the CellRows that `make_expand` makes from the frame's rows, and publishes every cell of the plan.

    `frame` has the columns image_id, label, group, split, part and part_in_split, and is sorted by part within its
    partitions (frames.partition_by_part). Raises StoreError; in that case no visible dataset has changed.
    """

    class PlannedSource(DataSource):
        @classmethod
        def name(cls) -> str:
            return "roadsign_datasets"

        def writer(self, schema: StructType, overwrite: bool) -> DataSourceArrowWriter:
            return StagingWriter(plan, make_expand)

    frame.sparkSession.dataSource.register(PlannedSource)
    try:
        plan.staging.mkdir(parents=True)
        frame.write.format("roadsign_datasets").mode("append").save()
    except (PySparkException, OSError) as error:
        raise StoreError(f"{plan.root}: nothing was changed there; {cause_of(error)}") from error
    finally:
        _clear(plan)


def _clear(plan: Plan) -> None:
    """Removes the staging folder. When Spark fails a job, its other tasks may still be writing: the folder is renamed
    first, so that they fail and write nothing afterwards."""
    with contextlib.suppress(OSError):  # if it could not be created
        plan.staging.rename(plan.staging.with_name("cleared"))
    shutil.rmtree(staging_folder(plan.root), ignore_errors=True)


def cause_of(error: Exception) -> str:
    """One line with the cause of the failure, from the traceback of a Python worker, and a remedy if one is known."""
    text = str(error)
    if "No space left on device" in text:
        return "no space left on its disk; free some, or make fewer sizes at a time (sizes_px=[28])"
    if missing := re.search(r"^ModuleNotFoundError: No module named '([\w.]+)'", text, re.MULTILINE):
        return (
            f"an executor's Python has no {missing[1]}; install the project there (uv sync), or set PYSPARK_PYTHON "
            "to a Python that has it"
        )
    if "OutOfMemoryError" in text or "Java heap space" in text:
        return "Java's memory is full; give it more, e.g. spark-submit --driver-memory 4g …, or use fewer partitions"
    found = re.findall(r"^(?:[\w.]*(?:Error|Exception)): .+$", text, re.MULTILINE)
    java = re.findall(r"^(?:Caused by)?: (.+)$", text, re.MULTILINE)
    cause = (found or java or text.strip().splitlines() or [type(error).__name__])[-1]
    return re.sub(
        r"^(?:[\w$]+\.)+([A-Z]\w*: )", r"\1", cause
    )  # not org.apache.spark.SparkException, but SparkException


class StagingWriter(DataSourceArrowWriter):
    """`write` runs on executors, once per task; `commit` runs on the driver."""

    def __init__(self, plan: Plan, make_expand: MakeExpand) -> None:
        self.plan = plan
        self.make_expand = make_expand
        self.staging = plan.staging.absolute()  # the executors of a cluster run in other folders

    def write(self, iterator: Iterator[pa.RecordBatch]) -> Written:
        attempt = self.staging / f"attempt-{uuid.uuid4().hex}"
        written = Written()
        attempt.mkdir()
        try:
            expand = self.make_expand()
            for rows in by_part(iterator):
                self._write_part(rows, expand, attempt, written)
        except BaseException:
            shutil.rmtree(attempt, ignore_errors=True)
            raise
        return written

    def _write_part(self, rows: pa.Table, expand: Expand, attempt: Path, written: Written) -> None:
        split, number = rows["split"][0].as_py(), rows["part_in_split"][0].as_py()
        cells = {(cell.size_px, cell.variant): cell for cell in self.plan.fingerprints}
        channels, compression = self.plan.card.channels, self.plan.compression
        with contextlib.ExitStack() as stack:
            files: dict[Cell, PartFile] = {}
            for start in range(0, len(rows), self.plan.rows_per_row_group):
                group = rows.slice(start, self.plan.rows_per_row_group)
                for cell_rows in expand(group):
                    cell = cells.get((cell_rows.size_px, cell_rows.variant))
                    if cell is None:
                        continue
                    if cell not in files:
                        files[cell] = stack.enter_context(PartFile(attempt, cell, channels, split, number, compression))
                    row_group, tally = cell_rows.to_row_group(group, split)
                    files[cell].write(row_group)
                    _add_tally(written.tallies, (cell, split), tally)
        written.parts += [(cell, file.part(), str(file.path)) for cell, file in files.items()]

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        publish(self.plan, [message for message in messages if isinstance(message, Written)])


def publish(plan: Plan, messages: Sequence[Written]) -> None:
    """Moves the files that the tasks wrote into place, one rename per cell, with its manifest. Raises StoreError."""
    parts: defaultdict[Cell, list[tuple[Part, str]]] = defaultdict(list)
    tallies: defaultdict[Cell, dict[Split, Tally]] = defaultdict(dict)
    for message in messages:
        for cell, part, path in message.parts:
            parts[cell].append((part, path))
        for (cell, split), tally in message.tallies.items():
            _add_tally(tallies[cell], split, tally)
    for cell in plan.fingerprints:
        made = {split: tally.images for split, tally in tallies[cell].items()}
        if made != dict(plan.counts):
            raise StoreError(f"{cell.folder(plan.root)}: {made} images written, {dict(plan.counts)} expected")
    whole = plan.staging / "whole"
    for cell, fingerprint in plan.fingerprints.items():
        for part, path in parts[cell]:
            target = cell.folder(whole) / part.path
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(path).replace(target)
        manifest = _manifest(plan, fingerprint, tallies[cell], [part for part, _ in parts[cell]])
        write_durably(cell.folder(whole) / HUGGING_FACE_NAME, hugging_face_config(manifest))
        write_durably(cell.folder(whole) / MANIFEST_NAME, manifest.model_dump_json(indent=1))
    for cell in plan.fingerprints:
        swap(cell.folder(whole), cell.folder(plan.root), cell.folder(plan.staging / "replaced"))


def _add_tally(tallies: dict[Key, Tally], key: Key, tally: Tally) -> None:
    if key in tallies:
        tallies[key] += tally
    else:
        tallies[key] = tally


def _manifest(
    plan: Plan, fingerprint: dict[str, Any], tallies: Mapping[Split, Tally], parts: Sequence[Part]
) -> Manifest:
    digest = sum(tally.digest for tally in tallies.values()) % 2**256
    return Manifest(
        card=plan.card,
        fingerprint=fingerprint,
        content_digest=f"{digest:064x}",
        counts={split: tally.images for split, tally in tallies.items()},
        counts_per_class={split: dict(sorted(tally.labels.items())) for split, tally in tallies.items()},
        statistics={split: tally.statistics() for split, tally in tallies.items()},
        parts=tuple(sorted(parts, key=lambda part: part.path)),
        source=dict(plan.source),
        made_by=dict(plan.made_by),
        attack=attack_statistics(tallies),
        chosen=choice_statistics(tallies),
        groups_per_class=plan.groups_per_class and {split: dict(own) for split, own in plan.groups_per_class.items()},
    )
