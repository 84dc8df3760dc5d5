"""THE CONTRACT between what makes a dataset and what reads it.

* An image is uint8, height × width × channels (RGB, or one: grey), raw bytes in a `binary` column; it is square,
  `size_px` on a side.
* `group` names the object that an image shows: images of one group are one observation, and all in one split. It is
  the image's own id where the image is a group of its own, and where the card says that the groups of the split are
  unknown.
* `image_id` is stable across layouts, sizes, variants and runs. `split` is train, validation or test.
* On disk, Hive style, so that Spark, DuckDB, polars and pandas read it unaided:
  <root>/<dataset>/geometry=crop_or_pad/size_px=40/variant=gaussian-max/split=test/part-00000.parquet
  and one _manifest.json beside the split= folders of each variant.
* What is known of the data set besides its pixels is on its card, in every manifest.
* Row i of a part file is the same image in every size and variant of one source.
* A folder is there with all its rows or not at all.
* Adversarial images are float32 in [0, 1] in the same layout, for uint8 would round the perturbation away; they have
  the columns of MEASURED besides, and a folder for the network that was attacked:
  …/variant=fgsm-snr33/attacked=0f3a5c7e9b1d/split=test/part-00000.parquet
* Generated images stand in the places of the images whose labels they were made for, under their ids: row i of
  variant=gan-conditional has the label of row i of variant=clean and is another sign. Their snr_db is NaN.
"""

import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from pipelines.datasets.card import DatasetCard, Split

__all__ = [
    "ATTACKED", "ATTACKED_DIGITS", "CLEAN", "DIGEST_MODULUS", "FORMAT_VERSION", "GENERATED",
    "HUGGING_FACE_NAME", "MANIFEST_NAME", "MEASURED", "SPLITS",
    "AttackStatistics", "AttackedImages", "Cell", "GeneratedImages", "Manifest",
    "Part", "Scores", "SourceImages", "Split", "Spread", "VariantStatistics", "hugging_face_config",
    "parquet_schema",
    "row_digest",
]  # fmt: skip

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
CLEAN = "clean"
MANIFEST_NAME = "_manifest.json"
HUGGING_FACE_NAME = ".huggingface.yaml"
"""Tells Hugging Face's load_dataset which files are of which split. A README.md would tell it too, but Spark and pandas
would take that for Parquet."""
FORMAT_VERSION = 3
"""Raised whenever the same settings and source would give other bytes; older datasets are then made again. 2: pages of
Parquet files have checksums. 3: rows have a group, manifests a card."""
DIGEST_MODULUS = 2**256
ATTACKED = "attacked"
"""Of an adversarial variant: the folder's key, and the fingerprint's, where it is the whole digest of the weights."""
ATTACKED_DIGITS = 12
GENERATED = "generated"
"""The key in the fingerprint of a generated variant: the digest of the generator's weights."""
MEASURED = {
    "snr_db_asked": pa.float32(),
    "snr_db_before_clamp": pa.float32(),
    "snr_db_uint8": pa.float32(),
    "prediction_before": pa.int32(),
    "prediction_after": pa.int32(),
}
"""What is known of each adversarial image besides its snr_db. `snr_db_asked` is NaN where no ratio was asked for;
`snr_db_before_clamp` is the perturbation's before it was cut to [0, 1], `snr_db_uint8` what rounding to 256 grey levels
would leave; the predictions are the attacked network's, of the image before the attack and of the stored one."""


class Cell(NamedTuple):
    """One dataset on disk: a variant at a size under a geometry; of adversarial images also the digest of the network
    that was attacked, of which the first 12 digits suffice to find the folder."""

    geometry: str
    size_px: int
    variant: str
    attacked: str | None = None

    def folder(self, root: Path) -> Path:
        folder = root / f"geometry={self.geometry}" / f"size_px={self.size_px}" / f"variant={self.variant}"
        return folder / f"{ATTACKED}={self.attacked[:ATTACKED_DIGITS]}" if self.attacked else folder

    def schema(self, channels: int) -> pa.Schema:
        """The schema of its part files."""
        dtype = "float32" if self.attacked else "uint8"
        return parquet_schema(self.size_px, channels, dtype, attacked=self.attacked is not None)

    def image_bytes(self, channels: int) -> int:
        return self.size_px**2 * channels * (4 if self.attacked else 1)


class SourceImages(NamedTuple):
    """N images of a dataset that are to be attacked: `labels` (N,), `pixels` (N, S, S, channels), uint8."""

    image_ids: list[str]
    labels: NDArray[np.int32]
    groups: list[str]
    pixels: NDArray[np.uint8]


class AttackedImages(NamedTuple):
    """What an attack has made of N source images: `pixels` (N, S, S, channels), float32 in [0, 1], and (N,) of each
    column of the contract. `snr_db` is NaN where the source is black."""

    variant: str
    pixels: NDArray[np.float32]
    snr_db_asked: NDArray[np.float32]
    snr_db_before_clamp: NDArray[np.float32]
    snr_db: NDArray[np.float32]
    snr_db_uint8: NDArray[np.float32]
    prediction_before: NDArray[np.int32]
    prediction_after: NDArray[np.int32]


class GeneratedImages(NamedTuple):
    """What a generator has made for the labels of N source images: `pixels` (N, S, S, channels), uint8."""

    variant: str
    pixels: NDArray[np.uint8]


class Scores(NamedTuple):
    """What a classifier says of N images: `predictions` (N,), classes, and `confidences` (N,), their probabilities."""

    predictions: NDArray[np.int32]
    confidences: NDArray[np.float32]


def parquet_schema(size_px: int, channels: int, pixel_dtype: str = "uint8", attacked: bool = False) -> pa.Schema:
    """Columns of a part file; `pixel_dtype`, `size_px`, `channels` and `layout` are in the schema's metadata."""
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
    """SHA-256 of one row as an integer; `measured` in the order of MEASURED. The group is not part of it, so that the
    same images have one digest however they are grouped. A dataset's digest is the sum of its rows'
    digests modulo 2²⁵⁶, so it does not depend on their order or on files (M. Bellare, D. Micciancio, "A new paradigm
    for collision-free hashing", 1997)."""
    digest = hashlib.sha256(f"{split}\0{image_id}\0{label}\0".encode())
    digest.update(snr.tobytes())
    digest.update(pixels.data)
    for value in measured:
        digest.update(value.tobytes())
    return int.from_bytes(digest.digest(), "big")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Record):
    """One Parquet file, its path relative to the manifest's folder."""

    path: str
    split: Split
    rows: NonNegativeInt
    bytes: NonNegativeInt

    @model_validator(mode="after")
    def _inside_its_folder(self) -> Self:
        if not re.fullmatch(rf"split={self.split}/part-\d{{5,}}\.parquet", self.path):
            raise ValueError(f"{self.path!r} is not the name of a part, split={self.split}/part-00000.parquet")
        return self


class VariantStatistics(_Record):
    """Over all pixels and images of the variant. A ratio that is infinite or undefined is null.

    snr_db and psnr_db are of the pooled energies (all images as one signal); the snr_db_* are of the images' own
    values, of which `snr_db_infinite` are infinite because nothing was changed and are left out of the mean."""

    channel_mean: tuple[float, ...] = Field(min_length=1)
    channel_std: tuple[float, ...] = Field(min_length=1)
    snr_db: float | None
    psnr_db: float | None
    snr_db_mean: float | None
    snr_db_min: float | None
    snr_db_max: float | None
    snr_db_infinite: int


class Spread(_Record):
    """Of images' finite values; `infinite` of them have no noise at all. Null where there is no finite one."""

    mean: float | None
    min: float | None
    max: float | None
    infinite: int


class AttackStatistics(_Record):
    """What an attack did to the images of a split. Decibels over images whose ratio is defined; the stored images' own
    are in VariantStatistics.

    `success_rate` is the share fooled of the images that were predicted rightly, null where there was none. `black`
    images have no ratio to reach: asked for one, they stay as they are. `unchanged` are the others that stayed as they
    were: with a gradient that is zero everywhere or, under an attack that seeks the smallest perturbation, predicted
    wrongly already or not fooled."""

    snr_db_asked: float | None
    snr_db_before_clamp: Spread
    snr_db_uint8: Spread
    right_before: int
    right_after: int
    fooled: int
    success_rate: float | None
    black: int
    unchanged: int


class Manifest(_Record):
    """What a variant is, where it came from and what is in it; reading it is enough to trust or refuse the folder."""

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
    groups_per_class: dict[Split, dict[NonNegativeInt, NonNegativeInt]] | None = Field(
        default=None, exclude_if=lambda groups: groups is None
    )
    """Null in the manifests of adversarial and of generated images, whose groups are those of their sources."""

    @model_validator(mode="after")
    def _numbers_agree(self) -> Self:
        if len({part.path for part in self.parts}) < len(self.parts):
            raise ValueError("parts: names a file twice")
        for split in SPLITS:
            counts = self.counts.get(split, 0)
            rows = sum(part.rows for part in self.parts if part.split == split)
            of_classes = sum(self.counts_per_class.get(split, {}).values())
            if not counts == rows == of_classes:
                raise ValueError(
                    f"split {split}: counts says {counts} images, its parts have {rows} and its classes {of_classes}"
                )
            if counts and split not in self.statistics:
                raise ValueError(f"statistics: has none of split {split}")
            if outside := [label for label in self.counts_per_class.get(split, {}) if label >= self.card.num_classes]:
                raise ValueError(
                    f"split {split}: counts images of class {outside[0]}, its card has {self.card.num_classes} classes"
                )
        for split, statistics in self.statistics.items():
            if {len(statistics.channel_mean), len(statistics.channel_std)} != {self.card.channels}:
                raise ValueError(f"statistics.{split}: not of {self.card.channels} channels, which its card says")
        return self

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """The manifest in `folder`, or None where there is none or it does not follow this contract."""
        try:
            return cls.model_validate_json((folder / MANIFEST_NAME).read_text())
        except (OSError, ValueError):
            return None


def hugging_face_config(manifest: Manifest) -> str:
    """The text of HUGGING_FACE_NAME for a variant."""
    splits = [split for split in SPLITS if manifest.counts.get(split)]
    files = "".join(f"  - split: {split}\n    path: split={split}/*.parquet\n" for split in splits)
    return f"configs:\n- config_name: default\n  data_files:\n{files}"
