"""THE CONTRACT between the writers and the readers of a dataset.

* An image is uint8, height × width × channels (3: RGB, 1: grey), stored as raw bytes in a `binary` column; it is
  square, with side `size_px`.
* `group` identifies the object that an image shows: images of one group count as one observation and are all in one
  split. It is the image's own id if the image is a group of its own, or if the card says that the groups of the split
  are unknown.
* `image_id` is stable across layouts, sizes, variants and runs. `split` is train, validation or test.
* The layout on disk is Hive style, so that Spark, DuckDB, polars and pandas can read it directly:
  <root>/<dataset>/geometry=crop_or_pad/size_px=40/variant=gaussian-max/split=test/part-00000.parquet
  and one _manifest.json next to the split= folders of each variant.
* Everything known about the data set apart from its pixels is on its card, which is in every manifest.
* Row i of a part file is the same image in every size and variant of one source.
* A variant's folder has all its rows or does not exist.
* Adversarial images are float32 in [0, 1] in the same layout, since rounding to uint8 would destroy the perturbation.
  They also have the columns of MEASURED, and a folder for the attacked network:
  …/variant=fgsm-snr33/attacked=0f3a5c7e9b1d/split=test/part-00000.parquet
* Generated images take the places and ids of the images whose labels they were generated for: row i of
  variant=gan-conditional has the label of row i of variant=clean but shows another object. Their snr_db is NaN.
"""

import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple, Self, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from pipelines.datasets.card import DatasetCard, Split
from pipelines.places import Place, Remote, refusing_store_errors

__all__ = [
    "ATTACKED", "ATTACKED_DIGITS", "CLEAN", "DIGEST_MODULUS", "FORMAT_VERSION", "GENERATED",
    "HUGGING_FACE_NAME", "MANIFEST_NAME", "MEASURED", "RUN_DIGITS", "RUN_ID", "SPLITS",
    "AttackStatistics", "Cell", "ChoiceStatistics", "Manifest", "Part", "Split", "Spread", "VariantStatistics",
    "hugging_face_config", "parquet_schema", "row_digest",
]  # fmt: skip

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
CLEAN = "clean"
MANIFEST_NAME = "_manifest.json"
HUGGING_FACE_NAME = ".huggingface.yaml"
"""Tells Hugging Face's load_dataset which files belong to which split. A README.md could do so too, but Spark and
pandas would try to read it as Parquet."""
FORMAT_VERSION = 3
"""Raised whenever the same settings and source would give different bytes, so that older datasets are made again. 2:
Parquet pages have checksums. 3: rows have a group, manifests have a card."""
DIGEST_MODULUS = 2**256
RUN_DIGITS = 12
RUN_ID = re.compile(rf"-[0-9a-f]{{{RUN_DIGITS}}}(?=\.parquet$)")
"""In the names of part files in an object store: the first digits of the id of the run that wrote them."""
ATTACKED = "attacked"
"""The key of an adversarial variant's folder (first digits of the weights' digest) and fingerprint (whole digest)."""
ATTACKED_DIGITS = 12
GENERATED = "generated"
"""The key in a generated variant's fingerprint for the digest of the generator's weights."""
MEASURED = {
    "snr_db_asked": pa.float32(),
    "snr_db_before_clamp": pa.float32(),
    "snr_db_uint8": pa.float32(),
    "prediction_before": pa.int32(),
    "prediction_after": pa.int32(),
}
"""The additional columns of adversarial images. `snr_db_asked` is the requested ratio, NaN if none was requested;
`snr_db_before_clamp` the ratio before clipping to [0, 1]; `snr_db_uint8` the ratio after rounding to 256 grey levels.
The predictions are the attacked network's, for the image before the attack and for the stored one."""


class Cell(NamedTuple):
    """One dataset on disk: a variant at a size under a geometry, and for adversarial images the digest of the attacked
    network, of which the first 12 digits suffice to find the folder."""

    geometry: str
    size_px: int
    variant: str
    attacked: str | None = None

    @overload
    def folder(self, root: Path) -> Path: ...
    @overload
    def folder(self, root: Remote) -> Remote: ...
    def folder(self, root: Place) -> Place:
        folder = root / f"geometry={self.geometry}" / f"size_px={self.size_px}" / f"variant={self.variant}"
        return folder / f"{ATTACKED}={self.attacked[:ATTACKED_DIGITS]}" if self.attacked else folder

    def schema(self, channels: int) -> pa.Schema:
        """The schema of the part files."""
        dtype = "float32" if self.attacked else "uint8"
        return parquet_schema(self.size_px, channels, dtype, attacked=self.attacked is not None)

    def image_bytes(self, channels: int) -> int:
        return self.size_px**2 * channels * (4 if self.attacked else 1)


def parquet_schema(size_px: int, channels: int, pixel_dtype: str = "uint8", attacked: bool = False) -> pa.Schema:
    """The schema of a part file; `pixel_dtype`, `size_px`, `channels` and `layout` are in the schema's metadata."""
    columns = [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("image", pa.binary(), nullable=False),
        pa.field("snr_db", pa.float32(), nullable=False),
    ]
    if attacked:
        columns += [pa.field(name, type_, nullable=False) for name, type_ in MEASURED.items()]
    layout = "HWC RGB" if channels == 3 else "HWC grey"
    metadata = {"pixel_dtype": pixel_dtype, "size_px": str(size_px), "channels": str(channels), "layout": layout}
    return pa.schema(columns, metadata)


def row_digest(
    split: str, image_id: str, label: int, snr: np.float32, pixels: NDArray[Any], *measured: np.generic
) -> int:
    """SHA-256 of one row as an integer; `measured` in the order of MEASURED.

    The group is not included, so that the digest does not depend on how images are grouped. A dataset's digest is the
    sum of its rows' digests modulo 2²⁵⁶, so it does not depend on their order or on the files (M. Bellare, D.
    Micciancio, "A new paradigm for collision-free hashing", 1997)."""
    digest = hashlib.sha256(f"{split}\0{image_id}\0{label}\0".encode())
    digest.update(snr.tobytes())
    digest.update(pixels.data)
    for value in measured:
        digest.update(value.tobytes())
    return int.from_bytes(digest.digest(), "big")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Record):
    """One Parquet file; `path` is relative to the manifest's folder. In an object store its name ends with the id of
    the run that wrote it."""

    path: str
    split: Split
    rows: NonNegativeInt
    bytes: NonNegativeInt

    @model_validator(mode="after")
    def _inside_its_folder(self) -> Self:
        if not re.fullmatch(rf"split={self.split}/part-\d{{5,}}\.parquet", RUN_ID.sub("", self.path)):
            raise ValueError(f"{self.path!r} is not the path of a part such as split={self.split}/part-00000.parquet")
        return self


class VariantStatistics(_Record):
    """Statistics over all pixels and images of a variant's split. A ratio that is infinite or undefined is null.

    snr_db and psnr_db are computed from the pooled energies (all images as one signal), the snr_db_* from the ratios of
    single images. `snr_db_infinite` counts the unchanged images, whose ratio is infinite; they are excluded from the
    mean."""

    channel_mean: tuple[float, ...] = Field(min_length=1)
    channel_std: tuple[float, ...] = Field(min_length=1)
    snr_db: float | None
    psnr_db: float | None
    snr_db_mean: float | None
    snr_db_min: float | None
    snr_db_max: float | None
    snr_db_infinite: int


class Spread(_Record):
    """The spread of the images' finite values, null if there are none; `infinite` counts the images without noise."""

    mean: float | None
    min: float | None
    max: float | None
    infinite: int


class AttackStatistics(_Record):
    """The effect of an attack on the images of a split. Ratios are over the images for which they are defined; the
    ratios of the stored images are in VariantStatistics.

    `success_rate` is the fraction of the correctly predicted images that were fooled, null if there were none. `black`
    images have no defined ratio, so an attack at a ratio leaves them unchanged. `unchanged` counts the other images
    that were left unchanged: their gradient is zero everywhere or, for an attack that seeks the smallest perturbation,
    they were already misclassified or could not be fooled."""

    snr_db_asked: float | None
    snr_db_before_clamp: Spread
    snr_db_uint8: Spread
    right_before: int
    right_after: int
    fooled: int
    success_rate: float | None
    black: int
    unchanged: int


class ChoiceStatistics(_Record):
    """How a classifier chose the generated images of a split: `drawn` counts all images drawn, `confident` the chosen
    ones to whose label it gives the confidence that was asked for."""

    drawn: NonNegativeInt
    confident: NonNegativeInt


class Manifest(_Record):
    """A variant's settings, origin and contents; it suffices to decide whether its folder can be used."""

    card: DatasetCard
    fingerprint: dict[str, Any]
    content_digest: str
    counts: dict[Split, NonNegativeInt]
    counts_per_class: dict[Split, dict[NonNegativeInt, NonNegativeInt]]
    statistics: dict[Split, VariantStatistics]
    parts: tuple[Part, ...]
    source: dict[str, Any]
    made_by: dict[str, str]
    attack: dict[Split, AttackStatistics] | None = Field(default=None, exclude_if=lambda attack: attack is None)
    chosen: dict[Split, ChoiceStatistics] | None = Field(default=None, exclude_if=lambda chosen: chosen is None)
    groups_per_class: dict[Split, dict[NonNegativeInt, NonNegativeInt]] | None = Field(
        default=None, exclude_if=lambda groups: groups is None
    )
    """Null in the manifests of adversarial and of generated images, whose groups are those of their sources."""

    @model_validator(mode="after")
    def _numbers_agree(self) -> Self:
        if len({part.path for part in self.parts}) < len(self.parts):
            raise ValueError("parts: contains duplicates")
        for split in SPLITS:
            counts = self.counts.get(split, 0)
            rows = sum(part.rows for part in self.parts if part.split == split)
            of_classes = sum(self.counts_per_class.get(split, {}).values())
            if not counts == rows == of_classes:
                raise ValueError(
                    f"split {split}: {counts} images in counts, {rows} in parts and {of_classes} in counts_per_class"
                )
            if counts and split not in self.statistics:
                raise ValueError(f"statistics: no entry for split {split}")
            if outside := [label for label in self.counts_per_class.get(split, {}) if label >= self.card.num_classes]:
                raise ValueError(
                    f"split {split}: counts_per_class has class {outside[0]}, but the card has "
                    f"{self.card.num_classes} classes"
                )
        for split, statistics in self.statistics.items():
            if {len(statistics.channel_mean), len(statistics.channel_std)} != {self.card.channels}:
                raise ValueError(f"statistics.{split}: expected {self.card.channels} channels, as on the card")
        return self

    @classmethod
    def read(cls, folder: Place) -> "Manifest | None":
        """The manifest in `folder`, or None if there is none or it does not follow this contract. Raises StoreError if
        an object store cannot be read."""
        try:
            return cls.model_validate_json(_text(folder / MANIFEST_NAME))
        except (OSError, ValueError):
            return None


def _text(path: Place) -> str:
    """Raises OSError, and StoreError if an object store cannot be read. An object that does not exist is empty."""
    with refusing_store_errors(path):
        try:
            return path.read_text()
        except FileNotFoundError:
            return ""


def hugging_face_config(manifest: Manifest) -> str:
    """The contents of a variant's HUGGING_FACE_NAME file."""
    splits = [split for split in SPLITS if manifest.counts.get(split)]
    files = "".join(f"  - split: {split}\n    path: split={split}/*.parquet\n" for split in splits)
    return f"configs:\n- config_name: default\n  data_files:\n{files}"
