from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.store.attacked_images import AttackedRows, AttackTally, attack_statistics
from pipelines.store.image_batches import AttackedImages, SourceImages
from pipelines.store.schema import MEASURED, parquet_schema, row_digest
from pipelines.store.statistics import Tally

SIZE_PX = 6


def attacked_rows(count: int = 9, seed: int = 0) -> AttackedRows:
    """A row group whose first image is black and whose second is unchanged."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (count, SIZE_PX, SIZE_PX, 3), np.uint8)
    pixels[0] = 0
    clean = pixels.astype(np.float32) / np.float32(255)
    changed = np.clip(clean + random.normal(0, 0.01, clean.shape), 0, 1).astype(np.float32)
    changed[:2] = clean[:2]
    ratios = [random.uniform(20, 50, count).astype(np.float32) for _ in range(4)]
    for ratio in ratios:
        ratio[:2] = np.nan, np.inf
    labels, before, after = (random.integers(0, 3, count, np.int32) for _ in range(3))
    ids = [f"test/{seed:02d}{row:03d}" for row in range(count)]
    made = AttackedImages("fgsm-snr33", changed, *ratios, before, after)
    return next(AttackedRows.for_each(SourceImages(ids, labels, ids, pixels), [made]))


def to_row_group(one: AttackedRows) -> tuple[pa.Table, AttackTally]:
    return one.to_row_group(pa.table({}), "test")


def test_a_row_group_follows_the_contract() -> None:
    made = attacked_rows()
    table, tally = to_row_group(made)
    assert table.schema.equals(parquet_schema(SIZE_PX, 3, "float32", attacked=True), check_metadata=True)
    digest = 0
    for row, image, label in zip(table.to_pylist(), made.images.pixels, made.source.labels, strict=True):
        assert row["image"] == image.tobytes()
        assert row["label"] == label
        values = [type_.to_pandas_dtype()(row[name]) for name, type_ in MEASURED.items()]
        digest += row_digest("test", row["image_id"], label, np.float32(row["snr_db"]), image, *values)
    assert tally.digest == digest % 2**256


def test_statistics_are_those_of_numpy() -> None:
    made = attacked_rows()
    source, images = made.source, made.images
    tally = to_row_group(made)[1]
    found, attack = tally.statistics(), tally.attack()
    wide = images.pixels.astype(np.float64)
    clean = source.pixels / 255
    assert found.channel_mean == pytest.approx(wide.mean((0, 1, 2)), abs=1e-6)
    assert found.channel_std == pytest.approx(wide.std((0, 1, 2)), abs=1e-6)
    noise = ((wide - clean.astype(np.float32)) ** 2).sum()
    assert found.snr_db == pytest.approx(10 * np.log10((clean**2).sum() / noise), abs=1e-4)
    assert found.psnr_db == pytest.approx(10 * np.log10(wide.size / noise), abs=1e-4)
    assert found.snr_db_mean == pytest.approx(images.snr_db[2:].mean(), abs=1e-5)
    assert found.snr_db_infinite == attack.snr_db_uint8.infinite == 1
    assert attack.snr_db_before_clamp.min == images.snr_db_before_clamp[2:].min()
    right, wrong_after = images.prediction_before == source.labels, images.prediction_after != source.labels
    assert (attack.right_before, attack.fooled) == (right.sum(), (right & wrong_after).sum())
    assert attack.right_after == (~wrong_after).sum()
    assert attack.success_rate == pytest.approx((right & wrong_after).sum() / right.sum())
    assert (attack.black, attack.unchanged) == (1, 1)
    assert tally.images == 9


@settings(max_examples=20, derandomize=True, deadline=None)
@given(order=st.randoms(use_true_random=False))
def test_sums_over_row_groups_do_not_depend_on_their_order(order: Random) -> None:
    blocks = [attacked_rows(count, seed) for seed, count in enumerate((9, 4, 7, 2))]

    def total(those: list[AttackedRows]) -> tuple[Any, ...]:
        tally = AttackTally(3)
        for one in those:
            tally += to_row_group(one)[1]
        return tally.statistics(), tally.attack(), tally.digest, tally.labels

    expected = total(blocks)
    order.shuffle(blocks)
    assert total(blocks) == expected


def test_without_correctly_predicted_images_there_is_no_success_rate() -> None:
    made = attacked_rows()
    made.images.prediction_before[:] = 7
    assert to_row_group(made)[1].attack().success_rate is None


def test_the_digest_depends_on_predictions_and_ratios() -> None:
    digests = {to_row_group(attacked_rows())[1].digest}
    for name in (*MEASURED, "snr_db"):
        made = attacked_rows()
        getattr(made.images, name)[3] += 1
        digests.add(to_row_group(made)[1].digest)
    assert len(digests) == 2 + len(MEASURED)


def test_noisy_images_have_no_attack_statistics() -> None:
    assert attack_statistics({"test": Tally(3)}) is None
