import math
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.store.statistics import Tally, difference_energy, energy, snr_db

QUICK = settings(max_examples=30, derandomize=True, deadline=None)
SIDES = (1, 8, 28, 75, 148, 149, 200)
"""148 px is the last at which the energy of an all-white image fits uint32; 200 px is well above."""

Pixels = NDArray[np.uint8]


def _pixels(images: int, size_px: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (images, size_px**2 * 3), dtype=np.uint8)


def _ids(count: int) -> list[str]:
    return [f"test/{number:05d}" for number in range(count)]


def _tally(clean: Pixels, noisy: Pixels, labels: Sequence[int] | None = None, rows: slice = slice(None)) -> Tally:
    tally = Tally(3)
    given_labels = list(labels or [number % 3 for number in range(len(clean))])
    signal, noise = energy(clean[rows]), difference_energy(noisy[rows], clean[rows])
    tally.add("test", _ids(len(clean))[rows], given_labels[rows], noisy[rows], signal, noise)
    return tally


@pytest.mark.parametrize("size_px", SIDES)
def test_energies_equal_the_formula_in_int64(size_px: int) -> None:
    """‖x‖² and ‖x − y‖² of random images, exactly, even if an image is larger than the cache."""
    x, y = _pixels(5, size_px, 1), _pixels(5, size_px, 2)
    wide_x, wide_y = x.astype(np.int64), y.astype(np.int64)
    np.testing.assert_array_equal(energy(x), (wide_x**2).sum(axis=1))
    np.testing.assert_array_equal(difference_energy(x, y), ((wide_x - wide_y) ** 2).sum(axis=1))
    assert energy(x).dtype == difference_energy(x, y).dtype == np.uint64


@pytest.mark.parametrize("size_px", SIDES)
def test_energies_of_black_and_white_do_not_overflow(size_px: int) -> None:
    """White has 255² times the number of values, and so has white minus black and black minus white."""
    values = size_px**2 * 3
    black, white = np.zeros((3, values), np.uint8), np.full((3, values), 255, np.uint8)
    most = [255**2 * values] * 3
    assert energy(white).tolist() == difference_energy(white, black).tolist() == most
    assert difference_energy(black, white).tolist() == most
    assert energy(black).tolist() == difference_energy(white, white).tolist() == [0, 0, 0]


@QUICK
@given(images=st.integers(1, 400), values=st.sampled_from([3, 300, 2352, 4800]))
def test_energies_do_not_depend_on_the_number_of_images_in_a_call(images: int, values: int) -> None:
    """The energies of images do not affect each other, at any number of images per cache slice."""
    x = np.random.default_rng(images).integers(0, 256, (images, values), dtype=np.uint8)
    np.testing.assert_array_equal(energy(x), (x.astype(np.int64) ** 2).sum(axis=1))
    np.testing.assert_array_equal(difference_energy(x, x[::-1]), ((x.astype(np.int64) - x[::-1]) ** 2).sum(axis=1))


def test_snr_is_ten_times_the_logarithm_of_the_ratio() -> None:
    """100 : 1 is 20 dB, 1 : 1 is 0 dB, 1 : 10 is −10 dB, 2 : 1 is 3.0103 dB."""
    ratios = snr_db(np.array([100, 7, 1, 2], np.uint64), np.array([1, 7, 10, 1], np.uint64))
    np.testing.assert_allclose(ratios, [20, 0, -10, 3.0102999566], rtol=1e-6)
    assert ratios.dtype == np.float32


def test_snr_is_infinite_without_noise_and_minus_infinite_without_signal() -> None:
    """An unchanged image has +inf, even if it is black; a changed black image has −inf."""
    ratios = snr_db(np.array([5, 0, 0], np.uint64), np.array([0, 0, 5], np.uint64))
    assert ratios.tolist() == [math.inf, math.inf, -math.inf]


@pytest.mark.parametrize("size_px", [8, 75, 200])
def test_channel_statistics_are_those_of_the_stacked_images(size_px: int) -> None:
    """Mean and standard deviation per channel on the [0, 1] scale equal NumPy's in float64."""
    noisy = _pixels(12, size_px) // np.tile(np.array([1, 2, 3], np.uint8), size_px**2)
    found = _tally(_pixels(12, size_px, 1), noisy).statistics()
    stacked = noisy.reshape(-1, 3) / 255
    assert found.channel_mean == pytest.approx(stacked.mean(axis=0), rel=1e-12)
    assert found.channel_std == pytest.approx(stacked.std(axis=0), rel=1e-9)


def test_ratios_are_those_of_the_pooled_energies_and_of_the_images() -> None:
    """snr_db and psnr_db treat all images as one signal; mean, minimum and maximum are over the ratios of single
    images."""
    clean = _pixels(9, 28)
    noisy = np.clip(clean + np.random.default_rng(1).normal(0, 20, clean.shape), 0, 255).astype(np.uint8)
    noisy[4] = clean[4]
    found = _tally(clean, noisy).statistics()
    signal = (clean.astype(float) ** 2).sum(axis=1)
    noise = ((noisy.astype(float) - clean) ** 2).sum(axis=1)
    own = 10 * np.log10(np.delete(signal, 4) / np.delete(noise, 4))
    assert found.snr_db == pytest.approx(10 * math.log10(signal.sum() / noise.sum()), rel=1e-12)
    assert found.psnr_db == pytest.approx(20 * math.log10(255) - 10 * math.log10(noise.sum() / clean.size), rel=1e-12)
    assert found.snr_db_mean == pytest.approx(own.mean(), abs=1e-5)
    assert (found.snr_db_min, found.snr_db_max) == pytest.approx((own.min(), own.max()), abs=1e-5)
    assert found.snr_db_infinite == 1


@pytest.mark.parametrize(("change", "psnr_db"), [(1, 48.1308036087), (5, 34.1514033), (255, 0.0)])
def test_psnr_of_an_even_change_has_its_closed_form(change: int, psnr_db: float) -> None:
    """20 log₁₀(255 / change): 48.13 dB for one grey level."""
    clean = np.zeros((4, 300), np.uint8)
    found = _tally(clean, clean + np.uint8(change)).statistics()
    assert found.psnr_db == pytest.approx(psnr_db, abs=1e-6)


def test_unchanged_images_have_no_ratio() -> None:
    """Infinite ratios are null, and counted."""
    clean = _pixels(5, 8)
    found = _tally(clean, clean).statistics()
    ratios = (found.snr_db, found.psnr_db, found.snr_db_mean, found.snr_db_min, found.snr_db_max)
    assert ratios == (None,) * 5
    assert found.snr_db_infinite == 5


def test_all_black_images_have_statistics_too() -> None:
    """Black and unchanged: zeros and no ratios. Black and changed: no signal, so no SNR, but a PSNR."""
    black = np.zeros((3, 300), np.uint8)
    found = _tally(black, black).statistics()
    assert (found.channel_mean, found.channel_std) == ((0, 0, 0), (0, 0, 0))
    assert (found.snr_db, found.psnr_db, found.snr_db_infinite) == (None, None, 3)
    changed = _tally(black, black + np.uint8(255)).statistics()
    assert (changed.channel_mean, changed.channel_std) == ((1, 1, 1), (0, 0, 0))
    assert (changed.snr_db, changed.snr_db_mean, changed.snr_db_infinite) == (None, None, 0)
    assert changed.psnr_db == pytest.approx(0.0)


def test_an_empty_tally_has_statistics_without_dividing_by_zero() -> None:
    """Zeros and nulls."""
    empty = Tally(3)
    assert (empty.images, empty.digest) == (0, 0)
    assert empty.statistics().snr_db is None


@QUICK
@given(cuts=st.sets(st.integers(1, 24), max_size=6), order=st.randoms(use_true_random=False))
def test_the_tallies_of_any_partition_add_up_to_one_tally(cuts: set[int], order: Random) -> None:
    """25 images at once or in parts of any size, added in any order, give exactly the same sums."""
    clean, noisy = _pixels(25, 8), _pixels(25, 8, 1)
    noisy[3], clean[5] = clean[3], 0
    bounds = [0, *sorted(cuts), 25]
    tallies = [_tally(clean, noisy, rows=slice(start, stop)) for start, stop in pairwise(bounds)]
    order.shuffle(tallies)
    total = Tally(3)
    for tally in tallies:
        total += tally
    whole = _tally(clean, noisy)
    assert total.statistics() == whole.statistics()
    assert (total.digest, total.labels, total.images) == (whole.digest, whole.labels, 25)


def test_a_tally_counts_labels() -> None:
    """Images per class and in total."""
    tally = _tally(_pixels(7, 8), _pixels(7, 8, 1), [4, 4, 0, 42, 4, 0, 1])
    assert (dict(tally.labels), tally.images) == ({4: 3, 0: 2, 42: 1, 1: 1}, 7)


def _digest(pixels: Pixels, labels: Sequence[int], ids: Sequence[str] | None = None, split: str = "test") -> int:
    tally = Tally(3)
    signal = np.full(len(pixels), 50, np.uint64)
    tally.add(split, ids or _ids(len(pixels)), labels, pixels, signal, np.full(len(pixels), 5, np.uint64))
    return tally.digest


def test_the_digest_does_not_depend_on_the_order_of_the_rows() -> None:
    """Reversed rows have the same digest."""
    pixels, labels = _pixels(6, 8), [0, 1, 2, 3, 4, 5]
    assert _digest(pixels, labels) == _digest(np.ascontiguousarray(pixels[::-1]), labels[::-1], _ids(6)[::-1])


def test_the_digest_changes_with_every_change() -> None:
    """One pixel by one grey level, one label, labels or pixels swapped between rows, an id, a split, a row missing or
    twice: each gives another digest."""
    pixels, labels = _pixels(6, 8), [0, 1, 2, 3, 4, 5]
    changed = pixels.copy()
    changed[3, 100] ^= 1
    digests = {
        "same": _digest(pixels, labels),
        "pixel": _digest(changed, labels),
        "label": _digest(pixels, [0, 1, 2, 3, 4, 6]),
        "swapped labels": _digest(pixels, [1, 0, 2, 3, 4, 5]),
        "swapped pixels": _digest(np.ascontiguousarray(pixels[[1, 0, 2, 3, 4, 5]]), labels),
        "id": _digest(pixels, labels, [*_ids(5), "test/00009"]),
        "split": _digest(pixels, labels, split="train"),
        "missing": _digest(pixels[:5], labels[:5], _ids(5)),
        "twice": _digest(pixels[[0, 1, 2, 3, 4, 5, 5]], [*labels, 5], [*_ids(6), "test/00005"]),
    }
    assert len(set(digests.values())) == len(digests)


def test_the_digest_depends_on_the_ratio_of_a_row() -> None:
    """snr_db is a column of the data set."""
    pixels = _pixels(2, 8)
    tallies = [Tally(3), Tally(3)]
    for tally, noise in zip(tallies, ([5, 6], [5, 7]), strict=True):
        tally.add("test", _ids(2), [0, 0], pixels, np.array([50, 50], np.uint64), np.array(noise, np.uint64))
    assert tallies[0].digest != tallies[1].digest
