"""Functions on Spark DataFrames, and the functions that run in their tasks."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType, UnionType
from typing import Any, NamedTuple, Protocol, Self, TypeVar, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import SparkFiles, TaskContext
from pyspark.sql import DataFrame, SparkSession

from pipelines.datasets import Containers, FileReader, ImageSource, Location, UnreadableImageError, decode
from pipelines.errors import RoadsignError, SourceError
from pipelines.geometry import Roi
from pipelines.noise import Image
from pipelines.places import Place, full_name, open_to_read, read_place
from pipelines.render.rendering import Original, Rendering
from pipelines.store.attacked_images import AttackedRows
from pipelines.store.cell_rows import NoisyRows
from pipelines.store.contents import pixels_of
from pipelines.store.generated_images import GeneratedRows
from pipelines.store.image_batches import AttackedImages, GeneratedImages, SourceImages
from pipelines.store.part_files import number_of
from pipelines.store.schema import Split

__all__ = [
    "MakeStep", "ReaderFactory", "RowGroup", "make_attacker", "make_generator", "make_renderer", "partition_by_part",
    "read_image", "row_groups_frame", "rows_frame", "with_pixel_digest",
]  # fmt: skip

_DIGEST_SCHEMA = pa.schema([("image_id", pa.string()), ("pixel_digest", pa.string()), ("reason", pa.string())])


def rows_frame(spark: SparkSession, row_type: type[NamedTuple], rows: Sequence[Any]) -> DataFrame:
    """Named tuples of `row_type` as a frame; int becomes int32, everything else string, None null."""
    types = {name: pa.int32() if _is_int(hint) else pa.string() for name, hint in get_type_hints(row_type).items()}
    columns = [pa.array([row[number] for row in rows], kind) for number, kind in enumerate(types.values())]
    return spark.createDataFrame(pa.table(columns, schema=pa.schema(types.items())))


def _is_int(hint: object) -> bool:
    return hint is int or (isinstance(hint, UnionType) and int in get_args(hint))


class ReaderFactory(NamedTuple):
    """Opens a reader in a Spark task. `channels` is the number of channels of the images it returns."""

    source: ImageSource
    channels: int

    def open(self) -> "SourceReader":
        return SourceReader(self)


class SourceReader:
    """Reads images of a source by location, and opens each archive and container once."""

    def __init__(self, readers: ReaderFactory) -> None:
        self._channels = readers.channels
        self._files = FileReader()
        self._containers = Containers(readers.source)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)
        self._containers.close()

    def read(self, location: Location) -> Image:
        """The pixels. Raises UnreadableImageError with the reason for any failure."""
        if location.index is None:
            return read_image(self._files, location, self._channels)
        try:
            return self._containers.read(location)
        except SourceError as error:
            raise UnreadableImageError(str(error)) from None


def with_pixel_digest(images: DataFrame, readers: ReaderFactory) -> DataFrame:
    """SourceImage rows → (image_id, pixel_digest, reason): SHA-256 of shape and pixels, or why the image is unreadable.

    The digest is of the decoded pixels, so it is the same for a PNG and a PPM of one image.
    """

    def scan(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with readers.open() as reader:
            for batch in batches:
                rows = [(row["image_id"], *_digest_or_reason(reader, row)) for row in batch.to_pylist()]
                yield pa.record_batch([pa.array(column) for column in zip(*rows, strict=True)], schema=_DIGEST_SCHEMA)

    return images.mapInArrow(scan, "image_id string, pixel_digest string, reason string")


def _digest_or_reason(reader: SourceReader, row: dict[str, Any]) -> tuple[str | None, str | None]:
    try:
        image = reader.read(Location(row["archive"], row["path"], row["index"]))
    except UnreadableImageError as error:
        return None, str(error)
    height, width = image.shape[:2]
    if row["width_px"] is not None and (width, height) != (row["width_px"], row["height_px"]):
        return None, f"is {width} × {height}, but its annotation says {row['width_px']} × {row['height_px']}"
    return hashlib.sha256(f"{height} {width} ".encode() + image.tobytes()).hexdigest(), None


def read_image(reader: FileReader, location: Location, channels: int = 3) -> Image:
    """The pixels of a source image. Raises UnreadableImageError with the reason for any failure."""
    try:
        data = reader.read(location)
    except RoadsignError:
        raise  # a store that does not answer says nothing about the image
    except Exception as error:  # noqa: BLE001 - file systems and zips raise many exception types
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from None
    return decode(data, channels)


def make_renderer(
    rendering: Rendering, readers: ReaderFactory
) -> Callable[[], Callable[[pa.Table], Iterator[NoisyRows]]]:
    """For writer.write_datasets: PlacedImage rows → NoisyRows, decoding each image once."""

    def make() -> Callable[[pa.Table], Iterator[NoisyRows]]:
        reader = readers.open()

        def expand(rows: pa.Table) -> Iterator[NoisyRows]:
            return rendering.cell_rows([_original(reader, row) for row in rows.to_pylist()])

        return expand

    return make


def _original(reader: SourceReader, row: dict[str, Any]) -> Original:
    location = Location(row["archive"], row["path"], row["index"])
    try:
        pixels = reader.read(location)
    except UnreadableImageError as error:
        raise SourceError(
            f"{location}: was readable when the run started, but no longer is: {error}; run the job again"
        ) from None
    corners = [row[name] for name in ("roi_x1", "roi_y1", "roi_x2", "roi_y2")]
    height, width = pixels.shape[:2]
    roi = Roi(0, 0, width - 1, height - 1) if None in corners else Roi(*corners)
    return Original(row["image_id"], pixels, roi)


def partition_by_part(images: DataFrame, partitions: int) -> DataFrame:
    """Repartitions rows that have `part` and `position`, so that each part is in one of `partitions` partitions, in
    order."""
    return images.repartitionById(partitions, images["part"] % partitions).sortWithinPartitions("part", "position")


class RowGroup(NamedTuple):
    """The first `rows` rows of row group `position` in the file `path`. The file is part `part_in_split` of its split,
    and its rows become the same part of the new variant; `part` counts parts over all splits."""

    split: Split
    part: int
    part_in_split: int
    position: int
    path: str
    rows: int


def row_groups_frame(
    spark: SparkSession, root: Place, row_groups: Sequence[tuple[Split, str, int, int]], partitions: int | None
) -> DataFrame:
    """For writer.write_datasets: one row per (split, file, row group number, rows) of the source dataset in `root`, in
    `partitions` partitions, by default one per file."""
    parts = {path: part for part, path in enumerate(dict.fromkeys(path for _, path, *_ in row_groups))}
    frame_rows = [
        RowGroup(split, parts[path], number_of(path), number, full_name(root, path), rows)
        for split, path, number, rows in row_groups
    ]
    return partition_by_part(rows_frame(spark, RowGroup, frame_rows), partitions or len(parts))


Made = TypeVar("Made", AttackedImages, GeneratedImages)
Made_co = TypeVar("Made_co", covariant=True)
AnyRows = TypeVar("AnyRows", AttackedRows, GeneratedRows)


class MakeStep(Protocol[Made_co]):
    """(folder of the session's files on this machine, number of threads of this task, address of its GPU or None) → a
    function from source images to the images made from them."""

    def __call__(
        self, files: Path, threads: int, gpu: str | None, /
    ) -> Callable[[SourceImages], Iterable[Made_co]]: ...


def make_attacker(make_step: MakeStep[AttackedImages]) -> Callable[[], Callable[[pa.Table], Iterator[AttackedRows]]]:
    """For writer.write_datasets: RowGroup rows → AttackedRows. `make_step` is called once per task, on its executor."""
    return _make_cell_rows(make_step, AttackedRows.for_each)


def make_generator(
    make_step: MakeStep[GeneratedImages],
) -> Callable[[], Callable[[pa.Table], Iterator[GeneratedRows]]]:
    """For writer.write_datasets: RowGroup rows → GeneratedRows. `make_step` is called once per task, on its
    executor."""
    return _make_cell_rows(make_step, GeneratedRows.for_each)


def _make_cell_rows(
    make_step: MakeStep[Made], for_each: Callable[[SourceImages, Iterable[Made]], Iterator[AnyRows]]
) -> Callable[[], Callable[[pa.Table], Iterator[AnyRows]]]:
    def make() -> Callable[[pa.Table], Iterator[AnyRows]]:
        task = TaskContext.get()
        assert task is not None
        gpu = task.resources().get("gpu")
        step = make_step(Path(SparkFiles.getRootDirectory()), task.cpus(), gpu.addresses[0] if gpu else None)

        def expand(rows: pa.Table) -> Iterator[AnyRows]:
            (row,) = rows.to_pylist()
            source = _source_images(row["path"], row["position"], row["rows"])
            return for_each(source, step(source))

        return expand

    return make


def _source_images(path: str, number: int, rows: int) -> SourceImages:
    try:
        with open_to_read(read_place(path)) as raw, pq.ParquetFile(raw, page_checksum_verification=True) as file:
            size_px, channels = (int(file.schema_arrow.metadata[name]) for name in (b"size_px", b"channels"))
            columns = ["image_id", "label", "group", "image"]
            table = file.read_row_group(number, columns=columns, use_threads=False)[:rows]
        pixels = pixels_of(table["image"], size_px**2 * channels).copy()  # torch needs writable memory
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise SourceError(
            f"{path}, row group {number}: cannot be read ({error}); make this variant again with verify=true"
        ) from None
    images = pixels.reshape(len(table), size_px, size_px, channels)
    return SourceImages(table["image_id"].to_pylist(), table["label"].to_numpy(), table["group"].to_pylist(), images)
