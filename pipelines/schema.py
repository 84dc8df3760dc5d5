"""THE CONTRACT between what makes a dataset and what reads it.

* An image is uint8, height × width × RGB, raw bytes in a `binary` column; it is square, `size_px` on a side.
* `image_id` is stable across layouts, sizes, variants and runs. `split` is train, validation or test.
* On disk, Hive style, so that Spark, DuckDB, polars and pandas read it unaided:
  <root>/<dataset>/geometry=crop_or_pad/size_px=40/variant=gaussian-max/split=test/part-00000.parquet
  and one _manifest.json beside the split= folders of each variant.
* Row i of a part file is the same image in every size and variant of one source.
* A folder is there with all its rows or not at all.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

__all__ = [
    "CLEAN", "DIGEST_MODULUS", "FORMAT_VERSION", "MANIFEST_NAME", "SPLITS", "Cell", "Manifest", "Part", "Split",
    "VariantStatistics", "parquet_schema", "row_digest",
]  # fmt: skip

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
CLEAN = "clean"
MANIFEST_NAME = "_manifest.json"
FORMAT_VERSION = 1
"""Raised whenever the same settings and source would give other bytes; older datasets are then made anew."""
DIGEST_MODULUS = 2**256


class Cell(NamedTuple):
    """One dataset on disk: a variant at a size under a geometry."""

    geometry: str
    size_px: int
    variant: str

    def folder(self, root: Path) -> Path:
        return root / f"geometry={self.geometry}" / f"size_px={self.size_px}" / f"variant={self.variant}"


def parquet_schema(size_px: int, pixel_dtype: str = "uint8") -> pa.Schema:
    """Columns of a part file; `pixel_dtype`, `size_px` and `layout` stand in the schema's metadata."""
    columns = [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("image", pa.binary(), nullable=False),
        pa.field("snr_db", pa.float32(), nullable=False),
    ]
    return pa.schema(columns, {"pixel_dtype": pixel_dtype, "size_px": str(size_px), "layout": "HWC RGB"})


def row_digest(split: str, image_id: str, label: int, snr: np.float32, pixels: NDArray[Any]) -> int:
    """SHA-256 of one row as an integer. A dataset's digest is the sum of its rows' digests modulo 2²⁵⁶, so it does not
    depend on their order or on files (M. Bellare, D. Micciancio, "A new paradigm for collision-free hashing", 1997)."""
    digest = hashlib.sha256(f"{split}\0{image_id}\0{label}\0".encode())
    digest.update(snr.tobytes())
    digest.update(pixels.data)
    return int.from_bytes(digest.digest(), "big")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Record):
    """One Parquet file, its path relative to the manifest's folder."""

    path: str
    split: Split
    rows: int
    bytes: int


class VariantStatistics(_Record):
    """Over all pixels and images of the variant. A ratio that is infinite or undefined is null.

    snr_db and psnr_db are of the pooled energies (all images as one signal); the snr_db_* are of the images' own
    values, of which `snr_db_infinite` are infinite because nothing was changed and are left out of the mean."""

    channel_mean: tuple[float, float, float]
    channel_std: tuple[float, float, float]
    snr_db: float | None
    psnr_db: float | None
    snr_db_mean: float | None
    snr_db_min: float | None
    snr_db_max: float | None
    snr_db_infinite: int


class Manifest(_Record):
    """What a variant is, where it came from and what is in it; reading it is enough to trust or refuse the folder."""

    fingerprint: dict[str, Any]
    content_digest: str
    counts: dict[Split, int]
    counts_per_class: dict[Split, dict[int, int]]
    statistics: dict[Split, VariantStatistics]
    parts: tuple[Part, ...]
    source: dict[str, Any]
    made_by: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """The manifest in `folder`, or None where there is none or it does not follow this contract."""
        try:
            return cls.model_validate_json((folder / MANIFEST_NAME).read_text())
        except (OSError, ValueError):
            return None
