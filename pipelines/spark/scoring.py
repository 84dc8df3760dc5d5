"""Unlabelled images: which of them a classifier is shown."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator
from pyspark.sql import DataFrame, SparkSession

from pipelines.errors import SettingsError, SourceError
from pipelines.geometry import GEOMETRIES, Geometry
from pipelines.places import Place, full_name, open_to_read, read_place
from pipelines.settings import PathOrName, Settings, StorePath
from pipelines.spark.frames import partition_by_part, rows_frame
from pipelines.spark.images_to_score import IMAGE_SUFFIXES, PARQUET, ListedFile, list_folder, suffix
from pipelines.store.schema import parquet_schema

__all__ = ["ListedImages", "ScoreImages", "list_images"]

TASKS_PER_CORE = 2


class ScoreImages(Settings):
    """One run of jobs/score_images.py: `model` applied to all of `images`, a folder of image files, or Parquet files
    that follow the contract of datasets; the folder `output` appears complete or not at all.

    `geometry` makes images of any size square; null: the geometry that the model was trained on. `size_px` is for
    models from outside that do not say their image size. An image is flagged as noisy above `noisy_above_std_grey`,
    which is compared with noise_std_grey of the model's input."""

    model: PathOrName
    images: StorePath
    output: StorePath
    geometry: Literal["crop_or_pad", "resize"] | None = None
    size_px: int | None = Field(default=None, ge=1)
    noisy_above_std_grey: float = Field(ge=0, allow_inf_nan=False)
    batch_size: int = Field(default=512, ge=1)
    partitions: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if not self.output.name:
            raise ValueError("output: choose a folder to be created")
        if _resolved(self.output).is_relative_to(_resolved(self.images)):
            raise ValueError("output is inside images, so the next run would read its scores as images; choose another")
        return self

    def check_size(self, of_model: int) -> None:
        """Raises SettingsError if another size was asked for than that of the model."""
        if self.size_px not in (None, of_model):
            raise SettingsError(f"size_px={self.size_px}: {self.model} is for images of {of_model} px; leave it null")

    def geometry_for(self, trained_on: str | None) -> Geometry:
        """`trained_on` None: unknown. Raises SettingsError if the geometry is unknown, or needs an annotation, which
        these images do not have."""
        kind = self.geometry or trained_on
        if kind is None:
            raise SettingsError(
                f"geometry: {self.model} does not say how its training images were made square; set "
                "geometry=crop_or_pad or geometry=resize"
            )
        if kind not in ("crop_or_pad", "resize"):
            raise SettingsError(
                f"{self.model} was trained on images of geometry {kind}, which needs the sign's region in each image; "
                "crop the signs yourself and use geometry=resize"
            )
        return GEOMETRIES[kind]()


def _resolved(place: Place) -> PurePosixPath:
    """Without links; a URL as s3:/bucket/folder, which is in no local folder."""
    return PurePosixPath(place.resolve() if isinstance(place, Path) else full_name(place, place.path))


class ImageFile(NamedTuple):
    part: int
    position: int
    path: str
    image_id: str
    reason: str | None


class StoredImages(NamedTuple):
    """Row group `number` of the Parquet file `path`."""

    part: int
    position: int
    path: str
    number: int


class ListedImages(NamedTuple):
    """Either `files` or row groups; `images` is their total number, `left_out` says which files were skipped."""

    files: list[ListedFile]
    row_groups: list[tuple[str, int]]
    images: int
    left_out: str = ""

    def sentence(self) -> str:
        """A sentence for the console."""
        paths = {one[0] for one in self.files or self.row_groups}
        return f"{self.images:,} images in {len(paths):,} files{self.left_out and f'; left out: {self.left_out}'}"

    def frame(self, spark: SparkSession, partitions: int | None) -> DataFrame:
        """A row for each file or row group, in order, in `partitions` partitions, by default two for each core."""
        listed: Sequence[tuple[Any, ...]] = self.files or self.row_groups
        tasks = min(len(listed), partitions or TASKS_PER_CORE * spark.sparkContext.defaultParallelism)
        row_type: type[ImageFile] | type[StoredImages] = ImageFile if self.files else StoredImages
        rows = [row_type(number * tasks // len(listed), number, *one) for number, one in enumerate(listed)]
        return partition_by_part(rows_frame(spark, row_type, rows), tasks)


def list_images(images: Place, size_px: int, channels: int) -> ListedImages:
    """All Parquet files in `images` and below, or all image files, except names that begin with a dot or an underscore;
    links are followed. Image files that cannot be opened are listed with the reason. Raises SourceError."""
    found = list_folder(images)
    stored = [file for file in found.files if suffix(file.path) == PARQUET]
    files = [file for file in found.files if suffix(file.path) != PARQUET]
    if stored and any(suffix(file.path) in IMAGE_SUFFIXES for file in files):
        first = next(file.path for file in files if suffix(file.path) in IMAGE_SUFFIXES)
        raise SourceError(
            f"{images}: holds Parquet files ({stored[0].path}) and image files ({first}); choose one kind"
        )
    if not found.files:
        left_out = f"; left out: {found.left_out}" if found.left_out else ""
        raise SourceError(f"{images}: no image ({', '.join(IMAGE_SUFFIXES)}) and no Parquet file in it{left_out}")
    if not stored:
        return ListedImages(files, [], len(files), found.left_out)
    for file in found.files:
        if file.reason is not None:
            raise SourceError(f"{file.path}: {file.reason}; repair it, or remove it from {images}")
    groups = [
        (file.path, number, rows) for file in stored for number, rows in _row_groups(file.path, size_px, channels)
    ]
    row_groups = [(path, number) for path, number, _ in groups]
    return ListedImages([], row_groups, sum(rows for *_, rows in groups), found.left_out)


def _row_groups(path: str, size_px: int, channels: int) -> Iterator[tuple[int, int]]:
    """Number and rows of each row group."""
    try:
        with open_to_read(read_place(path)) as file:
            footer = pq.read_metadata(file)
        schema = footer.schema.to_arrow_schema()
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path}: not readable as Parquet ({error})") from None
    told = schema.metadata or {}
    facts = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in told.items()}
    types = [schema.field(name).type for name in ("image_id", "image") if schema.get_field_index(name) >= 0]
    if facts.get("pixel_dtype") not in ("uint8", "float32") or types != [pa.string(), pa.binary()]:
        raise SourceError(
            f"{path}: not from a dataset made by jobs/make_noisy_datasets.py; use a folder of image files"
        )
    expected = parquet_schema(size_px, channels, facts["pixel_dtype"]).metadata
    if {key: told.get(key) for key in expected} != expected:
        raise SourceError(
            f"{path}: has images of {facts.get('size_px')} px, {facts.get('layout')}; the model is for {size_px} px, "
            f"{expected[b'layout'].decode()}: use a folder of that size"
        )
    return ((number, footer.row_group(number).num_rows) for number in range(footer.num_row_groups))
