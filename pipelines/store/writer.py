"""Writes datasets so that each becomes visible in one step. The only writer of datasets.

Executors write to a hidden staging folder and return what they wrote; the driver then moves complete variants into
place. A killed run leaves files only in the staging folder, and the next run removes them. For an object store see
object_store.py."""

import contextlib
import csv
import pickle
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from pipelines.datasets import Rejected
from pipelines.errors import StoreError
from pipelines.places import Place, below, refusing_store_errors
from pipelines.store import object_store
from pipelines.store.atomic_file import atomic_file
from pipelines.store.contents import check_files
from pipelines.store.folders import lock_folder, staging_folder
from pipelines.store.object_lease import Lease, leased
from pipelines.store.schema import Cell, Manifest
from pipelines.store.staging import MakeExpand, Plan, StagingWriter, Written, publish

__all__ = [
    "Plan",
    "cause_of",
    "find_damage",
    "is_current",
    "locked",
    "outdated",
    "write_datasets",
    "write_rejected",
]


def is_current(folder: Place, fingerprint: Mapping[str, Any], verify: bool = False) -> bool:
    """Whether `folder` contains a complete dataset with this fingerprint: its manifest has it and `find_damage` finds
    none."""
    manifest = Manifest.read(folder)
    return (
        manifest is not None and manifest.fingerprint == fingerprint and find_damage(folder, manifest, verify) is None
    )


def find_damage(folder: Place, manifest: Manifest, verify: bool = False) -> str | None:
    """Describes the first difference from the manifest, or None: in the files' sizes and, with `verify`, in their
    rows."""
    with refusing_store_errors(folder):
        sizes = below(folder)
    for part in manifest.parts:
        size = sizes.get(part.path)
        if size != part.bytes:
            found = "missing" if size is None else f"{size} bytes"
            return f"{folder / part.path}: {found}, but the manifest says {part.bytes} bytes"
    try:
        if verify:
            check_files(folder, manifest)
    except ValueError as error:
        return str(error)
    return None


def outdated(
    root: Place, fingerprints: Mapping[Cell, dict[str, Any]], verify: bool = False
) -> dict[Cell, dict[str, Any]]:
    """The entries of `fingerprints` whose datasets must be made."""
    return {cell: wanted for cell, wanted in fingerprints.items() if not is_current(cell.folder(root), wanted, verify)}


@contextlib.contextmanager
def locked(root: Place) -> Iterator[Lease | None]:
    """Locks `root` for one writer and removes what a killed run may have left; the lease is for Plan. Raises
    StoreError."""
    if isinstance(root, Path):
        with lock_folder(root, root, "output_root"):
            shutil.rmtree(staging_folder(root), ignore_errors=True)
            yield None
    else:
        with leased(root) as lease:
            object_store.remove_leftovers(root, lease)
            yield lease


def write_rejected(root: Place, rejected: Sequence[Rejected]) -> Place:
    """Writes the table of rejected inputs with reasons, or removes it if nothing was rejected. Returns its path."""
    path = root / "_rejected.csv"
    with refusing_store_errors(root):
        if not rejected:
            path.unlink(missing_ok=True)
        elif isinstance(path, Path):
            with atomic_file(path) as partial:
                _write_table(partial, rejected)
        else:
            _write_table(path, rejected)
    return path


def _write_table(path: Place, rejected: Sequence[Rejected]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file).writerows([Rejected._fields, *rejected])


def write_datasets(frame: DataFrame, make_expand: MakeExpand, plan: Plan) -> None:
    """Writes the CellRows that `make_expand` makes from the frame's rows, and publishes every cell of the plan.

    `frame` has the columns image_id, label, group, split, part and part_in_split, and is sorted by part within its
    partitions (frames.partition_by_part). Raises StoreError; in that case no visible dataset has changed, or in an
    object store each is whole, the older or the newer version.
    """
    try:
        if isinstance(plan.root, Path):
            plan.staging.mkdir(parents=True)
        publish(plan, _written(frame, StagingWriter(plan, make_expand)))
    except (PySparkException, OSError) as error:
        kept = (
            "nothing was changed there" if isinstance(plan.root, Path) else "every dataset there is whole, old or new"
        )
        raise StoreError(f"{plan.root}: {kept}; {cause_of(error)}") from error
    finally:
        _clear(plan)


def _written(frame: DataFrame, writer: StagingWriter) -> list[Written]:
    """What the tasks have written, one entry for each partition. Spark uses the result of one attempt of a task, so
    the files of the others are not among them."""

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"written": [pickle.dumps(writer.write(batches))]})

    written = frame.mapInArrow(write, "written binary").collect()
    return [pickle.loads(row["written"]) for row in written]  # noqa: S301 - this run's own tasks made it


def _clear(plan: Plan) -> None:
    """Removes what was not published. When Spark fails a job, its other tasks may still be writing: the folder is
    renamed first, so that they fail and write nothing afterwards."""
    if not isinstance(plan.root, Path):
        with contextlib.suppress(StoreError):  # if it cannot be reached, the next run removes it
            object_store.remove_own(plan.root, plan.run)
        return
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
