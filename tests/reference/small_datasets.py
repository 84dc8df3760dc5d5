"""Datasets that follow the contract, written row by row without Spark, for tests of the streams."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.datasets import DatasetCard
from pipelines.datasets.gtsrb_card import GTSRB_CARD
from pipelines.store.schema import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    Cell,
    Manifest,
    Part,
    Split,
    VariantStatistics,
    parquet_schema,
)
from pipelines.store.shown import Shown

CARD = DatasetCard(
    name="small",
    class_names=tuple(f"class {label}" for label in range(43)),
    channels=3,
    group="each image is one observation",
    hflip=GTSRB_CARD.hflip,
    vflip=GTSRB_CARD.vflip,
    licence="none",
    citation="none",
)
STATISTICS = VariantStatistics(
    channel_mean=(0.5, 0.5, 0.5),
    channel_std=(0.1, 0.1, 0.1),
    snr_db=None,
    psnr_db=None,
    snr_db_mean=None,
    snr_db_min=None,
    snr_db_max=None,
    snr_db_infinite=0,
)


def shown(variant: str) -> Shown:
    """The recorded noise and level of a variant with one of the simple names used in tests."""
    noise, _, level = variant.partition("-")
    return Shown() if variant == "clean" else Shown(noise, level or "none")


def noise(variant: str) -> dict[str, Any] | None:
    """What the manifest says of the paper's Gaussian variants; of others nothing."""
    kind, _, level = variant.partition("-")
    std_grey = {"min": 5.0, "avg": 25.0, "max": 50.0}.get(level)
    if kind != "gaussian" or std_grey is None:
        return None
    return {"kind": kind, "std_grey": std_grey, "overflow": "clip"}


@dataclass(frozen=True)
class Small:
    """A dataset; `parts` has the number of rows of each row group of each file, by split."""

    parts: Mapping[Split, Sequence[Sequence[int]]]
    variants: Sequence[str] = ("clean",)
    size_px: int = 4
    pixel_dtype: str = "uint8"
    card: DatasetCard = CARD
    fingerprint: Mapping[str, Any] = field(default_factory=dict)

    def count(self, split: Split) -> int:
        return sum(map(sum, self.parts[split]))

    def write(self, root: Path) -> Path:
        for variant in self.variants:
            self._write_variant(Cell("crop_or_pad", self.size_px, variant).folder(root), variant)
        return root

    def _per_class(self, split: Split) -> dict[int, int]:
        return dict(Counter(number % self.card.num_classes for number in range(self.count(split))))

    def image(self, variant: str, image_id: str) -> np.ndarray[Any, Any]:
        """The image of `variant` with this id."""
        seed = int.from_bytes(hashlib.sha256(f"{variant} {image_id}".encode()).digest()[:8], "big")
        pixels = np.random.default_rng(seed).integers(
            0, 256, (self.size_px, self.size_px, self.card.channels), np.uint8
        )
        return pixels if self.pixel_dtype == "uint8" else pixels.astype(np.float32) / np.float32(255)

    def _statistics(self, variant: str, split: Split) -> VariantStatistics:
        """Leaves out non-finite values, so that broken images can be written."""
        count = self.count(split)
        scale = 255 if self.pixel_dtype == "uint8" else 1
        pixels = np.array([self.image(variant, f"{split}/{number:05d}") for number in range(count)], np.float64) / scale
        finite = np.ma.masked_invalid(pixels)
        mean, std = (of(axis=(0, 1, 2)).tolist() for of in (finite.mean, finite.std))
        return STATISTICS.model_copy(
            update={
                "channel_mean": tuple(mean), "channel_std": tuple(std), "snr_db_min": 0.0,
                "snr_db_max": float(count - 1), "snr_db_mean": (count - 1) / 2,
            }
        )  # fmt: skip

    def _rows(self, variant: str, split: Split, first: int, rows: int) -> Iterator[dict[str, Any]]:
        for number in range(first, first + rows):
            image_id = f"{split}/{number:05d}"
            image = self.image(variant, image_id).tobytes()
            label = number % self.card.num_classes
            yield {"image_id": image_id, "label": label, "group": image_id, "image": image, "snr_db": float(number)}

    def _write_variant(self, folder: Path, variant: str) -> None:
        schema = parquet_schema(self.size_px, self.card.channels, self.pixel_dtype)
        parts, digest = [], 0
        for split, files in self.parts.items():
            first = 0
            for file, row_groups in enumerate(files):
                name = f"split={split}/part-{file:05d}.parquet"
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                writer = pq.ParquetWriter(
                    folder / name, schema, compression="zstd", use_dictionary=False, write_page_checksum=True
                )
                with writer:
                    for rows in row_groups:
                        values = list(self._rows(variant, split, first, rows))
                        writer.write_table(pa.Table.from_pylist(values, schema))
                        digest += sum(_digest(split, row) for row in values)
                        first += rows
                size = (folder / name).stat().st_size
                parts.append(Part(path=name, split=split, rows=sum(row_groups), bytes=size))
        manifest = Manifest(
            card=self.card,
            fingerprint={
                "source_digest": "0",
                "seed": 0,
                "noise": noise(variant),
                **shown(variant).facts,
                "size_px": self.size_px,
                "format_version": FORMAT_VERSION,
                **self.fingerprint,
            },
            content_digest=f"{digest % 2**256:064x}",
            counts={split: self.count(split) for split in self.parts},
            counts_per_class={split: self._per_class(split) for split in self.parts},
            statistics={split: self._statistics(variant, split) for split in self.parts if self.count(split)},
            parts=tuple(parts),
            source={},
            made_by={},
        )
        (folder / MANIFEST_NAME).write_text(manifest.model_dump_json())


class Tracks(Small):
    """Three images of each object."""

    def _rows(self, variant: str, split: Split, first: int, rows: int) -> Iterator[dict[str, Any]]:
        for row in super()._rows(variant, split, first, rows):
            yield row | {"group": f"track {int(row['image_id'][-5:]) // 3}"}


def _digest(split: str, row: Mapping[str, Any]) -> int:
    key = f"{split}\0{row['image_id']}\0{row['label']}\0".encode()
    data = key + np.float32(row["snr_db"]).tobytes() + row["image"]
    return int.from_bytes(hashlib.sha256(data).digest(), "big")
