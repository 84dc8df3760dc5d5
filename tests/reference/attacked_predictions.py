"""Predictions of adversarial images made by hand, and an adversarial variant written row by row without Spark."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from small_datasets import STATISTICS, Small, shown

from pipelines.store.schema import FORMAT_VERSION, MANIFEST_NAME, AttackStatistics, Cell, Manifest, Part, Spread
from pipelines.store.shown import Shown
from training.evaluation.classifiers.attack_facts import AttackFacts, Strength
from training.evaluation.classifiers.predicting import Predictions

SPREAD = Spread(mean=None, min=None, max=None, infinite=0)
NETWORK = "0f3a5c7e9b1d" + 52 * "0"
STRENGTHS = {f"snr{ratio}": Strength("snr", ratio) for ratio in (50, 45, 40, 33, 9)} | {
    f"eps{radius}": Strength("eps", radius) for radius in (0.1, 0.03137)
}


def statistics_with(unchanged: int) -> AttackStatistics:
    return AttackStatistics(
        snr_db_asked=33,
        snr_db_before_clamp=SPREAD,
        snr_db_uint8=SPREAD,
        right_before=0,
        right_after=0,
        fooled=0,
        success_rate=None,
        black=0,
        unchanged=unchanged,
    )


def predicted(
    right: Sequence[bool], variant: str, source: str = "clean", snr_db: Sequence[float] | None = None,
    transfer: bool = False, pixels: int | None = None,
) -> Predictions:  # fmt: skip
    """Images of class 0, of which these are predicted as 0 and the others as 1; adversarial where the name is not that
    of clean or noisy images. All attacks that change a number of `pixels` are of one curve."""
    classes = np.where(right, 0, 1)
    recorded = shown(variant.partition("/")[0])
    attack = None
    if not variant.startswith(("clean", "gaussian")):
        strength = Strength("pixels", pixels) if pixels else STRENGTHS.get(recorded.level)
        attack = AttackFacts(
            network=NETWORK,
            source=source,
            attack=recorded.noise.split("_")[0],
            curve="one_pixel" if pixels else recorded.noise,
            strength=strength,
            seeks=recorded.level == "none",
            snr_db=np.array([33.0] * len(right) if snr_db is None else snr_db, np.float32),
        )
    image_ids = np.array([f"test/{row:05d}" for row in range(len(right))])
    probabilities = np.eye(2, dtype=np.float32)[classes]
    return Predictions(
        image_ids, np.zeros(len(right), np.int64), classes, probabilities, "0", variant, attack, recorded=recorded,
        transfer=transfer,
    )  # fmt: skip


def write_attacked(
    small: Small, root: Path, variant: str, network: str, strength: dict[str, float] | None,
    snr_db: float | None = None, recorded: Shown | None = None,
) -> None:  # fmt: skip
    """Writes the test images of `small` as adversarial images; the ratio in each row is `snr_db`, or row number + 20
    dB."""
    cell = Cell("crop_or_pad", small.size_px, variant, network)
    path = cell.folder(root) / "split=test" / "part-00000.parquet"
    path.parent.mkdir(parents=True)
    with pq.ParquetWriter(path, cell.schema(3), use_dictionary=False, write_page_checksum=True) as writer:
        first = 0
        for rows in small.parts["test"][0]:
            values = [_row(small, number, snr_db) for number in range(first, first + rows)]
            writer.write_table(pa.Table.from_pylist(values, cell.schema(3)))
            first += rows
    recorded = recorded or shown(variant)
    fingerprint = {
        "source_digest": "0", "seed": 0, "noise": None, "attacked": network, "attacked_variant": "clean",
        "strength": strength, "size_px": small.size_px, "format_version": FORMAT_VERSION,
        "attack": {"kind": recorded.noise}, "shown_curve": recorded.noise, "shown_strength": strength, **recorded.facts,
    }  # fmt: skip
    manifest = Manifest(
        card=small.card,
        fingerprint=fingerprint,
        content_digest=f"{variant} {network}",
        counts={"test": first},
        counts_per_class={"test": dict(Counter(number % 43 for number in range(first)))},
        statistics={"test": STATISTICS},
        parts=(Part(path="split=test/part-00000.parquet", split="test", rows=first, bytes=path.stat().st_size),),
        source={},
        made_by={},
        attack={"test": statistics_with(unchanged=2)},
    )
    (cell.folder(root) / MANIFEST_NAME).write_text(manifest.model_dump_json())


def _row(small: Small, number: int, snr_db: float | None) -> dict[str, Any]:
    image_id = f"test/{number:05d}"
    noise = np.random.default_rng(number).normal(0, 0.2, (small.size_px, small.size_px, 3))
    pixels = np.clip(small.image("clean", image_id) / 255 + noise, 0, 1).astype(np.float32)
    ratios = dict.fromkeys(
        ("snr_db", "snr_db_asked", "snr_db_before_clamp", "snr_db_uint8"), number + 20.0 if snr_db is None else snr_db
    )
    predictions = {"prediction_before": number % 43, "prediction_after": number % 43}
    return {
        "image_id": image_id,
        "label": number % 43,
        "group": image_id,
        "image": pixels.tobytes(),
        **ratios,
        **predictions,
    }
