"""The files of one run until they are visible: tasks write them on executors, and the driver publishes them."""

import contextlib
import shutil
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from pipelines.datasets import DatasetCard
from pipelines.errors import StoreError
from pipelines.places import Place
from pipelines.store import object_store
from pipelines.store.attacked_images import attack_statistics
from pipelines.store.cell_rows import CellRows
from pipelines.store.folders import staging_folder, swap, write_durably
from pipelines.store.generated_images import choice_statistics
from pipelines.store.object_lease import Lease
from pipelines.store.part_files import PartFile, by_part
from pipelines.store.schema import HUGGING_FACE_NAME, MANIFEST_NAME, Cell, Manifest, Part, Split, hugging_face_config
from pipelines.store.statistics import Tally

__all__ = ["MakeExpand", "Plan", "StagingWriter", "Written", "publish"]

Expand = Callable[[pa.Table], Iterator[CellRows]]
"""Turns rows of the frame into CellRows, one per cell."""
MakeExpand = Callable[[], Expand]
"""Called once per task."""
Key = TypeVar("Key")


@dataclass(frozen=True)
class Plan:
    """What write_datasets makes: the fingerprint of each cell, the number of rows per split, and the facts for every
    manifest."""

    root: Place
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

    lease: Lease | None = None
    """Of a root in an object store."""

    @property
    def staging(self) -> Path:
        """Of a root on this machine."""
        assert isinstance(self.root, Path)
        return staging_folder(self.root) / self.run


@dataclass
class Written:
    """The files that one task wrote to the staging folder, and their sums."""

    parts: list[tuple[Cell, Part, str]] = field(default_factory=list)
    tallies: dict[tuple[Cell, Split], Tally] = field(default_factory=dict)


class StagingWriter:
    """Writes files on executors: `write` is called once per task."""

    def __init__(self, plan: Plan, make_expand: MakeExpand) -> None:
        self.plan = plan
        self.make_expand = make_expand
        # absolute, since the executors of a cluster run in other folders
        self.staging = plan.staging.absolute() if isinstance(plan.root, Path) else None

    def write(self, iterator: Iterator[pa.RecordBatch]) -> Written:
        written = Written()
        with self._attempt() as attempt:
            expand = self.make_expand()
            for rows in by_part(iterator):
                self._write_part(rows, expand, attempt, written)
        return written

    @contextlib.contextmanager
    def _attempt(self) -> Iterator[Path]:
        """A folder for the files of one task: in the staging folder, or on this machine's disk until they are
        uploaded."""
        if self.staging is None:
            with tempfile.TemporaryDirectory(prefix="roadsign-parts-") as folder:
                yield Path(folder)
            return
        attempt = self.staging / f"attempt-{uuid.uuid4().hex}"
        attempt.mkdir()
        try:
            yield attempt
        except BaseException:
            shutil.rmtree(attempt, ignore_errors=True)
            raise

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
        for cell, file in files.items():
            part = file.part()
            if not isinstance(self.plan.root, Path):
                part = object_store.upload(self.plan.root, self.plan.run, cell, part, file.path)
                file.path.unlink()
            written.parts.append((cell, part, str(file.path)))


def publish(plan: Plan, messages: Sequence[Written]) -> None:
    """Makes the files that the tasks wrote visible, each cell in one step, with its manifest. Raises StoreError."""
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
    manifests = {
        cell: _manifest(plan, fingerprint, tallies[cell], [part for part, _ in parts[cell]])
        for cell, fingerprint in plan.fingerprints.items()
    }
    if not isinstance(plan.root, Path):
        object_store.publish(plan.root, manifests, plan.lease)
        return
    whole = plan.staging / "whole"
    for cell, manifest in manifests.items():
        for part, path in parts[cell]:
            target = cell.folder(whole) / part.path
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(path).replace(target)
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
