"""Groups that a data set does not publish, recovered from its images: which of them show one object.

One Parquet file: the columns image_id, label and group, a row for each image in order of image_id. The schema's
metadata says what they were recovered from and how good the recovery is."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from pipelines.errors import StoreError
from pipelines.store.atomic_file import atomic_file

__all__ = ["Agreement", "RecoveredGroups", "Recovery", "read"]

KEY = b"recovered_groups"
"""Of the schema's metadata; its value is a Recovery as JSON."""
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
    ]
)


class Agreement(BaseModel):
    """How far groups recovered with the ids hidden agree with the known ones.

    Of the pairs of images in one recovered group, `precision` is the share that are in one known group; `recall` the
    reverse. `purity` is the share of images that are in the most frequent known group of their recovered group. `exact`
    of the `groups` known groups were recovered without an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: float = Field(ge=0, le=1)
    recall: float = Field(ge=0, le=1)
    purity: float = Field(ge=0, le=1)
    exact: NonNegativeInt
    groups: NonNegativeInt
    images: NonNegativeInt


class Recovery(BaseModel):
    """What groups were recovered from, and how well.

    `digest` is of the rows and of `source_digest`, which is that of the images. `measured` is the agreement on images
    whose groups are known and were hidden; None where there are none, for the reason in `not_measured`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    digest: str
    source_digest: str
    measured: Agreement | None
    not_measured: str = ""
    made_by: dict[str, str] = Field(default_factory=dict)


class RecoveredGroups(NamedTuple):
    """`groups` and `labels` by image_id, in order of image_id."""

    groups: dict[str, str]
    labels: dict[str, int]
    recovery: Recovery

    @property
    def digest(self) -> str:
        """SHA-256: the same for the same groups of the same images."""
        return self.recovery.digest

    @classmethod
    def of(
        cls,
        rows: Iterable[tuple[str, int, str]],
        dataset: str,
        source_digest: str,
        measured: Agreement | None,
        not_measured: str,
        made_by: dict[str, str],
    ) -> Self:
        """Of (image_id, label, group), in any order."""
        ordered = sorted(rows)
        recovery = Recovery(
            dataset=dataset,
            digest=_digest(ordered, source_digest),
            source_digest=source_digest,
            measured=measured,
            not_measured=not_measured,
            made_by=made_by,
        )
        groups = {image_id: group for image_id, _, group in ordered}
        return cls(groups, {image_id: label for image_id, label, _ in ordered}, recovery)

    def of_images(self, image_ids: Sequence[str], labels: Sequence[int] | NDArray[np.integer]) -> list[str]:
        """The group of each image. Raises StoreError for an image that is not there, or has another label there."""
        for image_id, label in zip(image_ids, labels, strict=True):
            if image_id not in self.groups:
                raise StoreError(f"image {image_id} has no recovered group; recover the groups of this data set")
            if self.labels[image_id] != label:
                raise StoreError(
                    f"image {image_id} has label {label}, its recovered group is one of label {self.labels[image_id]}; "
                    "recover the groups of this data set"
                )
        return [self.groups[image_id] for image_id in image_ids]

    def write(self, path: Path) -> None:
        """The file appears in one step, or stays what it was. Raises OSError."""
        columns = [list(self.groups), list(self.labels.values()), list(self.groups.values())]
        metadata = {KEY: self.recovery.model_dump_json().encode()}
        table = pa.table(
            [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)],
            schema=SCHEMA.with_metadata(metadata),
        )
        with atomic_file(path) as partial:
            pq.write_table(table, partial, write_page_checksum=True)


def read(path: Path) -> RecoveredGroups:
    """Raises StoreError where `path` is missing, damaged or another file."""
    remedy = "make it with jobs/recover_tracks.py"
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if KEY not in (file.schema_arrow.metadata or {}) or not file.schema_arrow.equals(SCHEMA):
                raise StoreError(f"{path}: is Parquet, but contains no recovered groups; {remedy}")
            columns = file.read().to_pydict()
            recovery = Recovery.model_validate_json(file.schema_arrow.metadata[KEY])
    except FileNotFoundError:
        raise StoreError(f"{path}: does not exist; {remedy}") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise StoreError(f"{path}: not readable as recovered groups ({reason}); {remedy}") from None
    rows = list(zip(columns["image_id"], columns["label"], columns["group"], strict=True))
    if rows != sorted(rows) or len(set(columns["image_id"])) < len(rows):
        raise StoreError(f"{path}: its images are not in order, or one occurs twice; {remedy}")
    if _digest(rows, recovery.source_digest) != recovery.digest:
        raise StoreError(f"{path}: its rows are not those of its digest; {remedy}")
    groups = {image_id: group for image_id, _, group in rows}
    return RecoveredGroups(groups, {image_id: label for image_id, label, _ in rows}, recovery)


def _digest(rows: Iterable[tuple[str, int, str]], source_digest: str) -> str:
    digest = hashlib.sha256(f"{source_digest}\n".encode())
    for row in rows:
        digest.update("\0".join(map(str, row)).encode() + b"\n")
    return digest.hexdigest()
