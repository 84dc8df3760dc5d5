"""Recomputes the digest, counts and statistics of a variant from its rows, and compares them with its manifest.

Page checksums reveal damage only in the pages that are read. Reading every row also finds files of another run, lost or
repeated rows, and a manifest that was changed."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel

from pipelines.places import Place, open_to_read
from pipelines.store.attacked_images import AttackTally
from pipelines.store.schema import ATTACKED, DIGEST_MODULUS, MEASURED, SPLITS, Manifest, Split, parquet_schema
from pipelines.store.statistics import Tally

__all__ = ["Recount", "check_files", "check_rows", "pixels_of"]

NOT_RECOMPUTABLE = {"snr_db", "psnr_db", "black", "unchanged"}
"""Statistics in the manifest that cannot be recomputed from the rows alone: they need the source images."""
TOLERANCE = 1e-6


class Recount:
    """Recomputes the facts of one variant: call `add` for every row group of every file, then `check`."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._attacked = ATTACKED in manifest.fingerprint
        self._tallies: dict[Split, Tally] = {}
        self._ids: set[str] = set()
        self._groups: dict[Split, set[tuple[int, str]]] = {}

    def add(self, split: Split, row_group: pa.Table) -> None:
        """Adds a row group with all its columns. Raises ValueError, which names a row that violates the contract."""
        metadata = row_group.schema.metadata
        dtype = metadata[b"pixel_dtype"].decode()
        values = int(metadata[b"size_px"]) ** 2 * self.manifest.card.channels
        pixels = pixels_of(row_group["image"], values * np.dtype(dtype).itemsize).view(dtype)
        ids, labels = row_group["image_id"].to_pylist(), row_group["label"].to_numpy()
        check_rows(ids, labels, pixels, self.manifest.counts_per_class.get(split, {}))
        self._add_ids(ids)
        self._groups.setdefault(split, set()).update(zip(labels.tolist(), row_group["group"].to_pylist(), strict=True))
        snr = row_group["snr_db"].to_numpy()
        if dtype == "uint8":
            tally = self._tallies.setdefault(split, Tally(self.manifest.card.channels))
            tally.add_with_snr(split, ids, labels.tolist(), pixels, snr)
        else:
            measured = {name: row_group[name].to_numpy() for name in (MEASURED if self._attacked else ())}
            attacked = self._tallies.setdefault(split, AttackTally(self.manifest.card.channels))
            assert isinstance(attacked, AttackTally)
            attacked.add_stored(split, ids, labels, pixels, snr, measured)

    def check(self) -> None:
        """Raises ValueError, which says how the rows differ from the manifest."""
        digest = f"{sum(tally.digest for tally in self._tallies.values()) % DIGEST_MODULUS:064x}"
        facts: dict[str, tuple[Any, Any]] = {"content digest": (digest, self.manifest.content_digest)}
        for split in SPLITS:
            tally = self._tallies.get(split, Tally(self.manifest.card.channels))
            facts[f"counts.{split}"] = tally.images, self.manifest.counts.get(split, 0)
            facts[f"counts_per_class.{split}"] = dict(tally.labels), self.manifest.counts_per_class.get(split, {})
            if self.manifest.groups_per_class is not None:
                groups = dict(Counter(label for label, _ in self._groups.get(split, ())))
                facts[f"groups_per_class.{split}"] = groups, self.manifest.groups_per_class.get(split, {})
        for fact, (found, expected) in facts.items():
            if found != expected:
                raise ValueError(f"{fact} is {found}, but the manifest says {expected}")
        for split, tally in self._tallies.items():
            self._check_statistics(split, tally)

    def _check_statistics(self, split: Split, tally: Tally) -> None:
        pairs: list[tuple[str, BaseModel, BaseModel]] = [
            ("statistics", tally.statistics(), self.manifest.statistics[split])
        ]
        if self._attacked and isinstance(tally, AttackTally):
            if split not in (self.manifest.attack or {}):
                raise ValueError(f"attack: the manifest has no entry for split {split}")
            pairs.append(("attack", tally.attack(), (self.manifest.attack or {})[split]))
        for name, found, expected in pairs:
            expected_numbers = dict(_numbers(expected.model_dump(mode="json")))
            for key, number in _numbers(found.model_dump(mode="json")):
                if key not in NOT_RECOMPUTABLE and not _is_close(number, expected_numbers.get(key)):
                    raise ValueError(
                        f"{name}.{split}.{key} is {number}, but the manifest says {expected_numbers.get(key)}"
                    )

    def _add_ids(self, ids: Sequence[str]) -> None:
        for image_id in ids:
            if image_id in self._ids:
                raise ValueError(f"image_id {image_id} occurs twice")
            self._ids.add(image_id)


def check_files(folder: Place, manifest: Manifest) -> None:
    """Reads all files in a variant's folder. Raises ValueError, which says what differs from the manifest."""
    recount = Recount(manifest)
    for part in manifest.parts:
        path = folder / part.path
        try:
            with open_to_read(path) as raw, pq.ParquetFile(raw, page_checksum_verification=True) as file:
                _check_schema(file.schema_arrow, manifest)
                for number in range(file.num_row_groups):
                    recount.add(part.split, file.read_row_group(number, use_threads=False))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise ValueError(f"{path}: {error}") from None
    recount.check()


def pixels_of(column: pa.ChunkedArray, image_bytes: int) -> NDArray[np.uint8]:
    """The pixels (N, image_bytes), without a copy. Raises ValueError if an image is null or has another length."""
    array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
    if array.null_count:
        raise ValueError(f"{array.null_count} images are null")
    _, offsets_buffer, data = array.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[array.offset : array.offset + len(array) + 1]
    lengths = np.diff(offsets)
    if (lengths != image_bytes).any():
        raise ValueError(f"images of {np.unique(lengths).tolist()} bytes, expected {image_bytes}")
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]].reshape(len(array), image_bytes)


def check_rows(
    ids: Sequence[str] | NDArray[np.object_], labels: NDArray[np.integer], pixels: NDArray[Any],
    classes: Collection[int],
) -> None:  # fmt: skip
    """Raises ValueError, which names an image whose label is not one of the manifest's `classes`, or whose float pixels
    are not all in [0, 1]."""
    known = np.zeros(max(classes, default=0) + 1, bool)
    known[list(classes)] = True
    inside = (labels >= 0) & (labels < len(known))
    if not inside.all() or not known[labels].all():
        row = int(np.flatnonzero(~(inside & known[np.where(inside, labels, 0)]))[0])
        raise ValueError(
            f"image {ids[row]} has label {labels[row]}, which is not one of the {len(classes)} classes in its manifest"
        )
    if pixels.dtype.kind == "f" and not (pixels.min() >= 0 and pixels.max() <= 1):  # False if a pixel is NaN
        wrong = ~((pixels >= 0) & (pixels <= 1)).reshape(len(pixels), -1).all(axis=1)
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"image {ids[row]} has pixels that are not finite or not in [0, 1]")


def _check_schema(schema: pa.Schema, manifest: Manifest) -> None:
    attacked = ATTACKED in manifest.fingerprint
    size_px, channels = manifest.fingerprint["size_px"], manifest.card.channels
    expected = parquet_schema(size_px, channels, "float32" if attacked else "uint8", attacked)
    if not schema.equals(expected, check_metadata=True):
        raise ValueError("its schema does not match the contract")


def _numbers(values: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, float | None]]:
    for name, value in values.items():
        if isinstance(value, list):
            value = {str(place): one for place, one in enumerate(value)}  # noqa: PLW2901
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{at}{name}.")
        else:
            yield at + name, value


def _is_close(found: float | None, expected: float | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return math.isclose(found, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
