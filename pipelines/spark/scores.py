"""Scores of images, computed on Spark's executors and written to a folder that appears complete or not at all; for a
folder in an object store see remote_scores.py."""

import math
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from py4j.protocol import Py4JJavaError
from pydantic import BaseModel, ConfigDict
from pyspark import SparkFiles, TaskContext
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from pipelines.datasets import FileReader, Location, UnreadableImageError
from pipelines.errors import SourceError, StoreError
from pipelines.geometry import Geometry, Roi
from pipelines.noise.estimation import noise_std_grey
from pipelines.places import Place, open_to_read, read_place
from pipelines.spark.frames import read_image
from pipelines.spark.remote_scores import has_strangers, published, task_file
from pipelines.store.folders import lock_folder, staging_folder, swap, write_durably
from pipelines.store.image_batches import Scores
from pipelines.store.writer import cause_of

__all__ = [
    "SCORES_SCHEMA", "SUMMARY_NAME", "MakeScore", "Score", "Scoring", "Summary", "refuse_strangers", "write_scores",
]  # fmt: skip

SCORES_SCHEMA = pa.schema([
    ("source", pa.string()),
    ("image_id", pa.string()),
    ("prediction", pa.int32()),
    ("confidence", pa.float32()),
    ("noise_std_grey", pa.float32()),
    ("noisy", pa.bool_()),
    ("reason", pa.string()),
])  # fmt: skip
"""`source` is the file, `image_id` that of the row in a Parquet file, otherwise the file's name relative to the folder
of images. If `reason` says why an image cannot be read, prediction, confidence and both noise columns are null."""
SUMMARY_NAME = "_scores.json"

Pixels = NDArray[np.uint8] | NDArray[np.float32]
Score = Callable[[Pixels], Scores]
"""(N, size_px, size_px, channels), uint8, or float32 in [0, 1] → the scores of each image."""
MakeScore = Callable[[Path, int, str | None], Score]
"""(folder of the session's files on this machine, threads of this task, address of its GPU or None) → score."""


class Shown(NamedTuple):
    """Images on their way to a classifier: source, id, and the reason why an image has no pixels, if any; `pixels` (N,
    size_px, size_px, channels) are those of the images without a reason."""

    sources: list[str]
    image_ids: list[str]
    reasons: list[str | None]
    pixels: Pixels


class Scoring(NamedTuple):
    """The parameters of executors besides the classifier."""

    geometry: Geometry
    size_px: int
    channels: int
    noisy_above_std_grey: float

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.size_px, self.size_px, self.channels


def _written(frame: DataFrame, make_score: MakeScore, scoring: Scoring, folder: Place, run: str = "") -> list[str]:
    """Scores the images that the frame of a ListedImages names into files of `folder`, one for each task, whose names
    the result has. `make_score` is called once per task. Files of tasks that failed, or that Spark ran twice, are not
    in the result."""

    def score_all(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        task = TaskContext.get()
        assert task is not None
        gpu = task.resources().get("gpu")
        score = make_score(Path(SparkFiles.getRootDirectory()), task.cpus(), gpu.addresses[0] if gpu else None)
        name = f"part-{task.partitionId():05d}-{run}{uuid.uuid4().hex}.parquet"
        with (
            task_file(folder, name) as path,
            FileReader() as reader,
            pq.ParquetWriter(path, SCORES_SCHEMA, write_page_checksum=True) as writer,
        ):
            for batch in batches:
                for shown in _read(reader, batch.to_pylist(), scoring):
                    writer.write(_scored(shown, score, scoring.noisy_above_std_grey))
        yield pa.record_batch({"name": [name]})

    return [row["name"] for row in frame.mapInArrow(score_all, "name string").toArrow().to_pylist()]


def _read(reader: FileReader, rows: list[dict[str, Any]], scoring: Scoring) -> Iterable[Shown]:
    if "image_id" in rows[0]:
        return [_from_files(reader, rows, scoring)]
    return (_from_row_group(row["path"], row["number"], scoring.image_shape) for row in rows)


def _from_files(reader: FileReader, rows: list[dict[str, Any]], scoring: Scoring) -> Shown:
    reasons: list[str | None] = []
    pixels = []
    for row in rows:
        if row["reason"] is not None:  # listed with a reason, so it must not be opened
            reasons.append(row["reason"])
            continue
        try:
            image = read_image(reader, Location("", row["path"]), scoring.channels)
        except UnreadableImageError as error:
            reasons.append(str(error))
            continue
        reasons.append(None)
        pixels.append(scoring.geometry(image, Roi(0, 0, image.shape[1] - 1, image.shape[0] - 1), scoring.size_px))
    found = np.stack(pixels) if pixels else np.empty((0, *scoring.image_shape), np.uint8)
    return Shown([row["path"] for row in rows], [row["image_id"] for row in rows], reasons, found)


def _from_row_group(path: str, number: int, image_shape: tuple[int, int, int]) -> Shown:
    try:
        with open_to_read(read_place(path)) as raw, pq.ParquetFile(raw, page_checksum_verification=True) as file:
            dtype = np.dtype(file.schema_arrow.metadata[b"pixel_dtype"].decode())
            table = file.read_row_group(number, columns=["image_id", "image"], use_threads=False)
        image_ids = table["image_id"].to_pylist()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: row group {number} is corrupt ({error}); make the dataset again") from None
    reasons: list[str | None] = []
    pixels = bytearray()  # torch needs a writable buffer
    for image in table["image"].to_pylist():
        reasons.append(_reason(image, dtype, math.prod(image_shape)))
        if reasons[-1] is None:
            pixels += image
    found = np.frombuffer(pixels, dtype).reshape(-1, *image_shape)
    return Shown([path] * len(table), image_ids, reasons, found)


def _reason(image: bytes | None, dtype: np.dtype[Any], values: int) -> str | None:
    """The reason why `image` cannot be shown to a classifier, or None."""
    expected = values * dtype.itemsize
    if image is None or len(image) != expected:
        return f"{len(image or b''):,} bytes, expected {expected:,}"
    if dtype.kind == "u":
        return None
    pixels = np.frombuffer(image, dtype)
    if not np.isfinite(pixels).all():
        return "pixels that are not finite"
    return None if pixels.min() >= 0 and pixels.max() <= 1 else "pixels outside [0, 1]"


def _scored(shown: Shown, score: Score, noisy_above_std_grey: float) -> pa.RecordBatch:
    scores = score(shown.pixels)
    scale = 255 if shown.pixels.dtype.kind == "f" else 1
    levels = [noise_std_grey(image * scale) for image in shown.pixels]
    noisy = [level is not None and level > noisy_above_std_grey for level in levels]
    columns: list[Any] = [shown.sources, shown.image_ids]
    for values in (scores.predictions.tolist(), scores.confidences.tolist(), levels, noisy):
        readable = iter(values)
        columns.append([next(readable) if reason is None else None for reason in shown.reasons])
    arrays = map(pa.array, [*columns, shown.reasons], SCORES_SCHEMA.types)
    return pa.record_batch(list(arrays), schema=SCORES_SCHEMA)


class Summary(BaseModel):
    """The summary file in the folder of scores."""

    model_config = ConfigDict(frozen=True)

    images: int
    noisy: int
    unreadable: int
    first_unreadable: str | None
    model: dict[str, Any]
    settings: dict[str, Any]
    made_by: dict[str, str]

    def sentence(self) -> str:
        """A sentence for the console."""
        first = f", the first is {self.first_unreadable}" if self.unreadable else ""
        return f"{self.images:,} images, {self.noisy:,} look noisy, {self.unreadable:,} are unreadable{first}"


def refuse_strangers(output: Place) -> None:
    """Raises StoreError if `output` exists and was not written by an earlier run of the job."""
    if isinstance(output, Path):
        strange = output.exists() and not (output / SUMMARY_NAME).is_file()
    else:
        strange = has_strangers(output, SUMMARY_NAME)
    if strange:
        raise StoreError(f"{output}: exists and does not contain scores, so it is not replaced; choose another output")


def write_scores(
    frame: DataFrame, make_score: MakeScore, scoring: Scoring, output: Place, images: int, **about: Any
) -> Summary:
    """The frame of a ListedImages of `images` images → SCORES_SCHEMA, a row for each image, as Parquet files in
    `output`, replacing those of an earlier run; `about` are the fields of Summary that are not counted. Raises
    StoreError; then nothing visible has changed.

    Executors write with pyarrow: Spark's own writer interprets a path as a URL, and in the encoding of Java's
    locale."""
    refuse_strangers(output)

    def write(folder: Place, run: str = "") -> list[str]:
        try:
            return _written(frame, make_score, scoring, folder, run)
        except (PySparkException, Py4JJavaError) as error:  # an aborted job raises the Java error itself
            raise StoreError(f"{output}: nothing was changed there; {cause_of(error)}") from error

    def summarize(folder: Place, names: Sequence[str]) -> Summary:
        summary = _summary(folder, names, about)
        if summary.images != images:
            raise StoreError(f"{output}: {summary.images} images written, {images} expected; run again")
        return summary

    if not isinstance(output, Path):
        with published(output, write) as names:
            summary = summarize(output, names)
            (output / SUMMARY_NAME).write_text(summary.model_dump_json(indent=1))
        return summary
    target = output.resolve() if output.is_symlink() else output.absolute()
    with _staging(target, output) as staging:
        attempts, whole = staging / "attempts", staging / "whole"
        attempts.mkdir()
        whole.mkdir()
        parts = []
        for number, name in enumerate(sorted(write(attempts))):
            parts.append(f"part-{number:05d}.parquet")
            (attempts / name).replace(whole / parts[-1])
        summary = summarize(whole, parts)
        write_durably(whole / SUMMARY_NAME, summary.model_dump_json(indent=1))
        swap(whole, target, staging / "replaced")
    return summary


def _summary(folder: Place, names: Sequence[str], about: dict[str, Any]) -> Summary:
    images = noisy = unreadable = 0
    first = None
    for name in names:
        with open_to_read(folder / name) as file:
            table = pq.read_table(file, columns=["source", "noisy", "reason"])
        images += len(table)
        noisy += pc.sum(table["noisy"]).as_py() or 0
        refused = table.filter(pc.field("reason").is_valid())
        unreadable += len(refused)
        if len(refused) and first is None:
            row = refused.slice(0, 1).to_pylist()[0]
            first = f"{row['source']}: {row['reason']}"
    return Summary(images=images, noisy=noisy, unreadable=unreadable, first_unreadable=first, **about)


@contextmanager
def _staging(target: Path, shown: Path) -> Iterator[Path]:
    """An empty hidden folder beside `target` for one process, removed at the end of the block together with what a
    killed run left in it. Raises StoreError."""
    staging = staging_folder(target)
    with lock_folder(staging, shown, "output"):
        for left in staging.iterdir():
            shutil.rmtree(left, ignore_errors=True)
        try:
            yield staging
        finally:  # renamed first, so that tasks of a failed job that still write fail too
            with suppress(OSError):
                (staging / "attempts").rename(staging / "cleared")
            shutil.rmtree(staging, ignore_errors=True)
