"""The order of an epoch."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.streams.order import Share, assign_variants, generator, plan_epoch

WEIGHTS = st.lists(st.floats(0.01, 1), min_size=1, max_size=10).map(lambda some: [one / sum(some) for one in some])


@given(WEIGHTS, st.integers(1, 200), st.integers(0, 2**32))
def test_each_variant_gets_its_share_to_within_one_place(weights: list[float], places: int, seed: int) -> None:
    counts = Counter(assign_variants(weights, places, generator(seed, 0)).tolist())
    assert counts.total() == places
    assert all(abs(counts[variant] - weight * places) < 1 + 1e-9 for variant, weight in enumerate(weights))


def test_variants_of_small_weight_appear_in_their_share_of_epochs() -> None:
    weights = [0.9, 0.07, 0.03]
    counts = sum(
        (Counter(assign_variants(weights, 5, generator(0, epoch)).tolist()) for epoch in range(2000)), Counter()
    )
    assert [counts[variant] / counts.total() for variant in range(3)] == pytest.approx(weights, abs=0.005)


@given(st.integers(1, 5), st.integers(1, 20), st.integers(1, 300))
def test_ranks_share_each_global_batch_and_have_equal_steps(world_size: int, batch_size: int, images: int) -> None:
    shares = [Share(rank, world_size, batch_size) for rank in range(world_size)]
    seen: list[int] = []
    for step in range(shares[0].steps(images)):
        parts = [share.rows(step, images) for share in shares]
        assert {len(rows) for rows, _ in parts} == {batch_size}
        assert all(shares[0].start(step) <= rows.min() and rows.max() < images for rows, _ in parts)
        seen += [int(row) for rows, valid in parts for row in rows[valid]]
    assert seen == list(range(images))
    for share in shares:
        first = share.steps(images) // 2
        taken = [share.rows(step, images)[0] for step in range(first, share.steps(images))]
        assert share.wanted(first, images).tolist() == sorted(set(np.concatenate(taken).tolist()))


@pytest.mark.parametrize("share", [(0, 1, 0), (1, 1, 8), (-1, 2, 8)])
def test_an_impossible_share_is_refused(share: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected batch_size"):
        Share(*share)


def test_windows_hold_all_rows_and_mix_them() -> None:
    rows = [10, 7, 10, 1, 10]
    windows = plan_epoch(rows, {"clean": 1.0}, seed=3, epoch=1, window_row_groups=2)
    assert sorted(slot.row_group for window in windows for slot in window.slots) == [0, 1, 2, 3, 4]
    assert [window.start for window in windows] == [0, *np.cumsum([len(window.order) for window in windows])[:-1]]
    for window in windows:
        assert sorted(window.order) == list(range(sum(rows[slot.row_group] for slot in window.slots)))
    assert any(sorted(window.order) != window.order.tolist() for window in windows)


def test_over_the_epochs_an_image_appears_at_every_position() -> None:
    positions = []
    for epoch in range(400):
        windows = plan_epoch([5] * 8, {"clean": 1.0}, seed=0, epoch=epoch, window_row_groups=3)
        for window in windows:
            groups = [slot.row_group for slot in window.slots]
            if 0 in groups:
                place = window.bounds[groups.index(0)]
                positions.append(window.start + window.order.tolist().index(place))
    assert np.mean(positions) == pytest.approx(19.5, abs=2)
    assert len(set(positions)) == 40


def test_the_order_is_the_same_on_every_machine() -> None:
    """If the order changes, runs cannot be resumed or repeated with another version."""
    windows = plan_epoch([3, 2, 4], {"b": 0.5, "a": 0.5}, seed=1, epoch=2, window_row_groups=2)
    slots = [("a", 1), ("b", 0), ("a", 2)]
    assert [tuple(slot) for window in windows for slot in window.slots] == slots
    assert [window.order.tolist() for window in windows] == [[2, 1, 0, 4, 3], [1, 3, 2, 0]]
