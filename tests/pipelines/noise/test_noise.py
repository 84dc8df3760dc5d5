import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import noise_twins
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import ndimage, stats

from pipelines.noise import NOISES, Image, Noise, generator
from pipelines.noise.black_columns import BlackColumns
from pipelines.noise.black_rows import BlackRows
from pipelines.noise.blur import Blur
from pipelines.noise.gaussian import Gaussian
from pipelines.noise.jpeg import Jpeg
from pipelines.noise.patches import MAX_PATCHES, Patches
from pipelines.noise.periodic import Periodic
from pipelines.noise.random import Random, RandomDraw
from pipelines.noise.salt_pepper import SaltPepper, SaltPepperDraw
from pipelines.noise.speckle import Speckle
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "noise_digests.json"
QUICK = settings(max_examples=30, derandomize=True, deadline=None)

ZERO: list[Noise] = [
    Gaussian(std_grey=0.0),
    Gaussian(std_grey=0.0, overflow="wrap"),
    Periodic(amplitude=0.0),
    Periodic(amplitude=1.0, amplitude_grey=0.0),
    SaltPepper(amount=0.0),
    SaltPepper(amount=0.0, unit="probability"),
    Random(fraction=0.0),
    Patches(count=0),
    Blur(std_px=0.0),
    BlackRows(fraction=0.0),
    BlackColumns(fraction=0.0),
    Speckle(std_fraction=0.0),
]
STRONG: list[Noise] = [
    Gaussian(std_grey=50.0),
    Gaussian(std_grey=50.0, overflow="wrap"),
    Periodic(amplitude=1.0),
    SaltPepper(amount=40.0),
    Random(fraction=0.5),
    Patches(count=4),
    Blur(std_px=2.0),
    BlackRows(fraction=0.4),
    BlackColumns(fraction=0.4),
    Speckle(std_fraction=0.6),
    Jpeg(quality=7),
]
images = st.builds(
    lambda height, width, seed: np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8),
    st.integers(1, 80), st.integers(1, 80), st.integers(0, 99),
)  # fmt: skip


def _name(noise: Noise) -> str:
    return f"{noise.kind}-{'-'.join(str(value) for value in noise.model_dump().values())}"


def _grey(height: int, width: int, grey: int = 128) -> Image:
    return np.full((height, width, 3), grey, np.uint8)


def _ramp(height: int = 20, width: int = 30) -> Image:
    return (np.arange(height * width * 3) * 7 % 256).astype(np.uint8).reshape(height, width, 3)


def _change(noise: Noise, image: Image, image_id: str = "train/00000/00000_00000") -> NDArray[np.int64]:
    return noise(image, generator(0, noise.kind, image_id)).astype(np.int64) - image


def _binomial_sigma(trials: int, probability: float) -> float:
    return float(np.sqrt(trials * probability * (1 - probability)))


def test_every_noise_of_the_menu_is_tested_here() -> None:
    """So that a new noise is tested too. JPEG has no strength of zero."""
    assert {noise.kind for noise in ZERO} | {"jpeg"} == set(NOISES) == {noise.kind for noise in STRONG}


@pytest.mark.parametrize(("key", "noise"), NOISES.items(), ids=list(NOISES))
def test_a_menu_key_is_the_file_and_the_class_in_snake_case(key: str, noise: type[Noise]) -> None:
    """A noise has the same name everywhere."""
    assert key == noise.kind == noise.__module__.rpartition(".")[2]
    assert key == re.sub(r"(?<!^)(?=[A-Z])", "_", noise.__name__).lower()


@pytest.mark.parametrize("noise", ZERO, ids=_name)
@QUICK
@given(image=images)
def test_a_noise_of_strength_zero_changes_nothing(noise: Noise, image: Image) -> None:
    """Strength 0 is the identity on any image."""
    np.testing.assert_array_equal(noise(image, generator(0, noise.kind, "a")), image)


@pytest.mark.parametrize("noise", STRONG, ids=_name)
@QUICK
@given(image=images)
def test_a_noise_keeps_shape_and_type_and_does_not_change_its_input(noise: Noise, image: Image) -> None:
    """The output is a new uint8 array of the same shape, for any shape."""
    before = image.copy()
    image.flags.writeable = False
    noisy = noise(image, generator(0, noise.kind, "a"))
    assert (noisy.dtype, noisy.shape) == (np.uint8, image.shape)
    assert not np.shares_memory(noisy, image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("noise", STRONG, ids=_name)
def test_a_noise_of_some_strength_changes_the_image(noise: Noise) -> None:
    """Every noise has an effect."""
    assert _change(noise, _ramp()).any()


@pytest.mark.parametrize("noise", STRONG, ids=_name)
def test_the_same_seed_kind_and_image_give_the_same_bytes(noise: Noise) -> None:
    """A second run on any machine makes the same noise."""
    first, second = (noise(_ramp(), generator(3, noise.kind, "train/00001/00000_00000")) for _ in range(2))
    np.testing.assert_array_equal(first, second)


# blur and jpeg draw nothing and periodic one bit, which three draws may share; they have tests of their own
@pytest.mark.parametrize(
    "noise", [noise for noise in STRONG if noise.kind not in ("blur", "jpeg", "periodic")], ids=_name
)
def test_another_seed_kind_or_image_gives_other_noise(noise: Noise) -> None:
    """No two images, seeds or kinds share their random numbers."""
    keys = [(0, noise.kind, "a"), (1, noise.kind, "a"), (0, "other", "a"), (0, noise.kind, "b")]
    assert len({noise(_ramp(), generator(*key)).tobytes() for key in keys}) == len(keys)


def test_generators_of_neighbouring_keys_are_unrelated() -> None:
    """The parts of the key are separated: seed 1 with "2" is not seed 12 with ""."""
    keys = [(seed, kind, image_id) for seed in (0, 1, 11) for kind in ("", "1", "11") for image_id in ("", "1", "11")]
    assert len({int(generator(*key).integers(0, 2**63)) for key in keys}) == len(keys)


@pytest.mark.parametrize("noise", STRONG, ids=_name)
def test_the_draw_does_not_depend_on_the_strength(noise: Noise) -> None:
    """Calling a noise equals `draw` followed by `apply`, so that all levels can share one draw."""
    draw = type(noise).draw(generator(0, noise.kind, "a"), (20, 30, 3))
    np.testing.assert_array_equal(noise.apply(_ramp(), draw), noise(_ramp(), generator(0, noise.kind, "a")))


def test_a_stronger_salt_and_pepper_has_the_weaker_ones_pixels() -> None:
    """The corrupted pixels of the weaker level have the same values in the stronger one."""
    changes = [_change(SaltPepper(amount=amount), _grey(60, 70)) for amount in (5.0, 20.0, 60.0)]
    for weak, strong in pairwise(changes):
        assert 0 < np.count_nonzero(weak) < np.count_nonzero(strong)
        np.testing.assert_array_equal(strong[weak != 0], weak[weak != 0])


def test_a_stronger_random_noise_has_the_weaker_ones_pixels() -> None:
    """The pixels replaced at the weaker level have the same new colours in the stronger one."""
    changes = [_change(Random(fraction=fraction), _grey(60, 70)) for fraction in (0.1, 0.5, 0.85)]
    for weak, strong in pairwise(changes):
        replaced = weak.any(axis=2)
        assert 0 < replaced.sum() < strong.any(axis=2).sum()
        np.testing.assert_array_equal(strong[replaced], weak[replaced])


@pytest.mark.parametrize(("noise", "axis"), [(BlackRows, 1), (BlackColumns, 0)])
def test_stronger_black_lines_have_the_weaker_ones_lines(noise: Any, axis: int) -> None:
    """Every black line of the weaker level is black in the stronger one."""
    black = [~(noise(fraction=f)(_grey(50, 50), generator(0, "x", "a")).any(axis=(axis, 2))) for f in (0.1, 0.2, 0.4)]
    assert [int(lines.sum()) for lines in black] == [5, 10, 20]
    assert (black[0] <= black[1]).all() and (black[1] <= black[2]).all()


def test_more_patches_are_the_fewer_with_further_ones_painted_over_them() -> None:
    """Four patches are two patches with the next two of the draw on top."""
    draw = Patches.draw(generator(0, "patches", "a"), (30, 40, 3))
    few, many = (Patches(count=count).apply(_ramp(30, 40), draw) for count in (2, 4))
    assert (few != many).any()
    np.testing.assert_array_equal(noise_twins.patches(few, draw.places[2:4], draw.colours[2:4], 0.25), many)


@pytest.mark.parametrize(
    "levels",
    [
        [Gaussian(std_grey=2.0), Gaussian(std_grey=8.0)],
        [Gaussian(std_grey=2.0, overflow="wrap"), Gaussian(std_grey=8.0, overflow="wrap")],
        [Periodic(amplitude=0.25), Periodic(amplitude=1.0)],
        [Speckle(std_fraction=0.02), Speckle(std_fraction=0.08)],
    ],
    ids=["gaussian", "gaussian wrap", "periodic", "speckle"],
)
def test_a_stronger_level_is_the_weaker_one_scaled(levels: list[Noise]) -> None:
    """Four times the strength gives four times the change, up to rounding to integer grey levels."""
    weak, strong = (_change(noise, _grey(40, 40)) for noise in levels)
    assert np.abs(strong - 4 * weak).max() <= 0.5 + 4 * 0.5
    assert np.abs(strong).max() > 20


def test_a_pixel_of_order_zero_is_untouched_at_fraction_zero() -> None:
    """The order is in [0, 1) and pixels strictly below the fraction are changed: none at 0, all at 1."""
    order, colours = np.zeros((2, 3), np.float32), _grey(2, 3, 7)
    image, last = _grey(2, 3), np.nextafter(np.float32(1), np.float32(0)) + order
    salt_pepper, random = SaltPepperDraw(order, order > 0), RandomDraw(order, colours)
    np.testing.assert_array_equal(SaltPepper(amount=0.0).apply(image, salt_pepper), image)
    np.testing.assert_array_equal(Random(fraction=0.0).apply(image, random), image)
    np.testing.assert_array_equal(SaltPepper(amount=100.0).apply(image, SaltPepperDraw(last, last > 2)), 0 * image)
    np.testing.assert_array_equal(Random(fraction=1.0).apply(image, RandomDraw(last, colours)), colours)


def test_a_stronger_blur_leaves_less_contrast() -> None:
    """The standard deviation of the grey levels decreases from level to level."""
    spreads = [float((_ramp(60, 60) + _change(Blur(std_px=std_px), _ramp(60, 60))).std()) for std_px in (0, 1, 2, 4)]
    assert spreads == sorted(spreads, reverse=True) and len(set(spreads)) == 4


def test_gaussian_noise_is_normal_with_the_standard_deviation_that_it_names() -> None:
    """Over a million values of a mid-grey image: mean 0, std_grey (with the 1/12 of rounding), and a normal shape."""
    change = _change(Gaussian(std_grey=25.0), _grey(600, 600)).ravel()
    std = np.sqrt(25**2 + 1 / 12)
    assert abs(change.mean()) < 4 * std / np.sqrt(change.size)
    assert abs(change.std() - std) < 4 * std / np.sqrt(2 * change.size)
    # rounding is undone by spreading each whole number over its unit interval
    smooth = change[:200_000] + np.random.default_rng(0).uniform(-0.5, 0.5, 200_000)
    assert stats.kstest(smooth, stats.norm(0, std).cdf).pvalue > 0.01


def test_gaussian_noise_of_neighbours_and_channels_is_independent() -> None:
    """The noise of neighbouring values and channels is uncorrelated."""
    change = _change(Gaussian(std_grey=25.0), _grey(400, 400)).astype(float)
    pairs = [(change[:-1], change[1:]), (change[:, :-1], change[:, 1:]), (change[..., 0], change[..., 1])]
    for one, other in pairs:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(one.size)


@pytest.mark.parametrize(
    ("overflow", "grey", "noise", "expected"),
    [
        ("wrap", 250, 10, 4), ("wrap", 3, -10, 249), ("wrap", 100, 10, 110), ("wrap", 0, 300, 44),
        ("wrap", 0, -257, 255), ("clip", 250, 10, 255), ("clip", 3, -10, 0), ("clip", 100, 10, 110),
        ("clip", 0, 300, 255), ("clip", 9, -300, 0), ("clip", 100, 0.4, 100), ("clip", 100, 0.6, 101),
        ("clip", 100, -0.6, 99),
    ],
)  # fmt: skip
def test_gaussian_overflow_clips_or_wraps(overflow: Any, grey: int, noise: float, expected: int) -> None:
    """250 + 10 becomes 255 with clipping and 4 with wrapping."""
    draw = np.full((2, 3, 3), noise, np.float32)
    noisy = Gaussian(std_grey=1.0, overflow=overflow).apply(_grey(2, 3, grey), draw)
    np.testing.assert_array_equal(noisy, _grey(2, 3, expected))


@pytest.mark.parametrize("overflow", ["clip", "wrap"])
def test_gaussian_noise_equals_its_plain_twin(overflow: Any) -> None:
    """It equals a value-by-value implementation in plain Python."""
    draw = Gaussian.draw(generator(0, "gaussian", "a"), (20, 30, 3))
    expected = noise_twins.gaussian(_ramp(), draw, 50.0, overflow)
    np.testing.assert_array_equal(Gaussian(std_grey=50.0, overflow=overflow).apply(_ramp(), draw), expected)


@pytest.mark.parametrize(("pattern", "axis"), [("vertical", 1), ("horizontal", 0)])
@pytest.mark.parametrize("period_px", [4.0, 10.0, 25.0])
def test_periodic_noise_has_its_period_in_its_direction(pattern: Any, axis: int, period_px: float) -> None:
    """The spectrum peaks at 1/period across the stripes; along them and between channels nothing changes."""
    change = _change(Periodic(amplitude=0.5, period_px=period_px, pattern=pattern), _grey(100, 100))
    along = change if axis == 1 else change.transpose(1, 0, 2)
    assert (along == along[:1, :, :1]).all()
    spectrum = np.abs(np.fft.rfft(along[0, :, 0]))
    assert spectrum.argmax() == 100 / period_px
    assert spectrum[spectrum.argmax()] > 20 * np.delete(spectrum, spectrum.argmax()).max()


@pytest.mark.parametrize(("amplitude", "amplitude_grey"), [(0.25, 50.0), (0.5, 50.0), (1.0, 50.0), (1.0, 80.0)])
def test_periodic_noise_reaches_its_amplitude(amplitude: float, amplitude_grey: float) -> None:
    """sin x + cos x lies between −√2 and √2, in units of amplitude × amplitude_grey, and starts at 1."""
    noise = Periodic(amplitude=amplitude, amplitude_grey=amplitude_grey, period_px=80.0, pattern="vertical")
    change, unit = _change(noise, _grey(1, 80)), amplitude * amplitude_grey
    assert change[0, 0, 0] == pytest.approx(unit, abs=0.5)
    assert change.max() == pytest.approx(np.sqrt(2) * unit, abs=0.5)
    assert change.min() == pytest.approx(-np.sqrt(2) * unit, abs=0.5)


def test_periodic_noise_takes_either_direction_about_as_often() -> None:
    """Over 400 images the fraction of vertical patterns is one half, within 4 standard deviations."""
    noise = Periodic(amplitude=1.0)
    vertical = 0
    for number in range(400):
        change = _change(noise, _grey(8, 8), f"test/{number:05d}")
        across, down = (bool(np.ptp(change, axis=axis).any()) for axis in (1, 0))
        assert across != down
        vertical += across
    assert abs(vertical - 200) < 4 * _binomial_sigma(400, 0.5)


@pytest.mark.parametrize("pattern", ["vertical", "horizontal", "either"])
@pytest.mark.parametrize("draw", [True, False])
def test_periodic_noise_equals_its_plain_twin(pattern: Any, draw: bool) -> None:
    """A fixed pattern ignores the draw, and every value follows the formula."""
    vertical = {"vertical": True, "horizontal": False, "either": draw}[pattern]
    noisy = Periodic(amplitude=0.5, amplitude_grey=70.0, period_px=7.5, pattern=pattern).apply(_ramp(), draw)
    np.testing.assert_array_equal(noisy, noise_twins.periodic(_ramp(), vertical, 35.0, 7.5))


@pytest.mark.parametrize(("amount", "unit", "fraction"), [(0.4, "per_cent", 0.004), (0.4, "probability", 0.4)])
def test_salt_and_pepper_corrupts_its_fraction_of_pixels(amount: float, unit: Any, fraction: float) -> None:
    """Of a million pixels the fraction is corrupted, half of them white and half black, in all three channels alike."""
    noisy = SaltPepper(amount=amount, unit=unit)(_grey(1000, 1000), generator(0, "salt_pepper", "a"))
    assert (noisy == noisy[..., :1]).all()
    assert set(np.unique(noisy)) == {0, 128, 255}
    salt, pepper = int((noisy[..., 0] == 255).sum()), int((noisy[..., 0] == 0).sum())
    assert abs(salt + pepper - 1e6 * fraction) < 4 * _binomial_sigma(10**6, fraction)
    assert abs(salt - (salt + pepper) / 2) < 4 * _binomial_sigma(salt + pepper, 0.5)


@pytest.mark.parametrize("amount", [0.1, 0.2, 0.4])
def test_the_two_readings_of_salt_and_pepper_are_a_hundred_apart(amount: float) -> None:
    """A fraction given as a probability gives the same bytes as 100 times that number in per cent, the default."""
    draw = SaltPepper.draw(generator(0, "salt_pepper", "a"), (300, 300, 3))
    probability = SaltPepper(amount=amount, unit="probability").apply(_grey(300, 300), draw)
    np.testing.assert_array_equal(SaltPepper(amount=100 * amount).apply(_grey(300, 300), draw), probability)
    assert SaltPepper(amount=amount).fraction == pytest.approx(amount / 100, rel=1e-15)
    assert SaltPepper(amount=amount, unit="probability").fraction == amount


def test_salt_and_pepper_equals_its_plain_twin() -> None:
    """It equals a pixel-by-pixel implementation in plain Python."""
    draw = SaltPepper.draw(generator(0, "salt_pepper", "a"), (20, 30, 3))
    expected = noise_twins.salt_pepper(_ramp(), draw.order, draw.salt, 0.3)
    np.testing.assert_array_equal(SaltPepper(amount=30.0).apply(_ramp(), draw), expected)


def test_random_noise_replaces_its_fraction_by_uniform_colours() -> None:
    """Half of a million pixels are replaced; each channel's new values are uniform and independent of the others."""
    noisy = Random(fraction=0.5)(_grey(1000, 1000), generator(0, "random", "a"))
    replaced = (noisy != 128).any(axis=2)
    assert abs(replaced.sum() - 5e5) < 4 * _binomial_sigma(10**6, 0.5) + 1
    # a value may be drawn to be 128 again; a pixel of which all three are is too rare to matter
    colours = noisy[replaced]
    for channel in range(3):
        assert stats.chisquare(np.bincount(colours[:, channel], minlength=256)).pvalue > 0.001
    correlations = np.corrcoef(colours.T.astype(float))[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(len(colours))


def test_random_noise_equals_its_plain_twin() -> None:
    """Pixel by pixel in plain Python it is the same image; at fraction 1 nothing of the original is left."""
    draw = Random.draw(generator(0, "random", "a"), (20, 30, 3))
    expected = noise_twins.random(_ramp(), draw.order, draw.colours, 0.85)
    np.testing.assert_array_equal(Random(fraction=0.85).apply(_ramp(), draw), expected)
    np.testing.assert_array_equal(Random(fraction=1.0).apply(_ramp(), draw), draw.colours)


@QUICK
@given(image=images, count=st.integers(0, MAX_PATCHES), side_fraction=st.sampled_from([0.01, 0.25, 0.5, 1.0]))
def test_patches_equal_their_plain_twin(image: Image, count: int, side_fraction: float) -> None:
    """Squares of the given side are completely inside an image of any shape."""
    image = image[:20, :25]
    draw = Patches.draw(generator(0, "patches", "a"), image.shape)
    expected = noise_twins.patches(image, draw.places[:count], draw.colours[:count], side_fraction)
    np.testing.assert_array_equal(Patches(count=count, side_fraction=side_fraction).apply(image, draw), expected)


def test_one_patch_is_one_square_of_one_colour() -> None:
    """A quarter of the shorter side of 40 × 60 is 10 pixels; over many images the square reaches every border."""
    corners = []
    for number in range(600):
        change = _change(Patches(count=1), _grey(40, 60), f"test/{number:05d}")
        rows, columns = np.nonzero(change.any(axis=2))
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1, len(rows)) == (10, 10, 100)
        assert len({tuple(colour) for colour in change[rows, columns]}) == 1
        corners.append((rows[0], columns[0]))
    tops, lefts = zip(*corners, strict=True)
    assert (min(tops), max(tops), min(lefts), max(lefts)) == (0, 40 - 10, 0, 60 - 10)


BLUR_IMAGES = {
    "random": np.random.default_rng(0).integers(0, 256, (96, 80, 3), dtype=np.uint8),
    "step": np.repeat(np.repeat(np.array([0, 255], np.uint8), 40)[None, :, None], 96, axis=0).repeat(3, axis=2),
}


@pytest.mark.parametrize("std_px", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("image", BLUR_IMAGES.values(), ids=list(BLUR_IMAGES))
def test_blur_is_near_to_the_exact_gaussian_filter(image: Image, std_px: float) -> None:
    """Away from the border it is within 4 grey levels of scipy's Gaussian: 2 for the three boxes, whose distribution
    function is off by up to 1 % (2.5 of 255 at a step), and the rounding of six passes."""
    exact = ndimage.gaussian_filter(image.astype(float), (std_px, std_px, 0), mode="nearest")
    inside = slice(round(4 * std_px), -round(4 * std_px))
    assert np.abs(Blur(std_px=std_px).apply(image, None) - exact)[inside, inside].max() < 4


@pytest.mark.parametrize("std_px", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("image", BLUR_IMAGES.values(), ids=list(BLUR_IMAGES))
def test_blur_equals_its_plain_twin(image: Image, std_px: float) -> None:
    """Three box filters along each side, borders repeated in each, in float: apart by at most half a grey level of
    rounding in each of the six passes, at the border too."""
    difference = Blur(std_px=std_px).apply(image, None) - noise_twins.blur(image, std_px)
    assert np.abs(difference).max() < 6 * 0.5
    assert abs(difference.mean()) < 1


@pytest.mark.parametrize("grey", [10, 50, 150])
def test_speckle_is_normal_with_a_standard_deviation_in_proportion_to_the_grey_level(grey: int) -> None:
    """Over a million values: mean 0, std_fraction × grey (with the 1/12 of rounding)."""
    change = _change(Speckle(std_fraction=0.15), _grey(600, 600, grey)).ravel()
    std = np.sqrt((0.15 * grey) ** 2 + 1 / 12)
    assert abs(change.mean()) < 4 * std / np.sqrt(change.size)
    assert abs(change.std() - std) < 4 * std / np.sqrt(2 * change.size)
    assert not _change(Speckle(std_fraction=5.0), _grey(30, 30, 0)).any(), "black stays black"


def test_speckle_equals_its_plain_twin() -> None:
    """It equals a value-by-value implementation in plain Python."""
    draw = Speckle.draw(generator(0, "speckle", "a"), (20, 30, 3))
    expected = noise_twins.speckle(_ramp(), draw, 0.6)
    np.testing.assert_array_equal(Speckle(std_fraction=0.6).apply(_ramp(), draw), expected)


@pytest.mark.parametrize("quality", [7, 25, 90])
def test_jpeg_is_the_rounded_cosine_transform_of_the_standard(quality: int) -> None:
    """Of one channel, beside SciPy's transform and table K.1. libjpeg's transforms are in whole numbers: two grey
    levels at most, where the steps of the table are no longer than their rounding."""
    image = ndimage.gaussian_filter(_ramp(40, 56)[:, :, :1].astype(float), (1.5, 1.5, 0)).astype(np.uint8)
    difference = Jpeg(quality=quality).apply(image, None).astype(int) - noise_twins.jpeg(image, quality)
    assert np.abs(difference).max() <= (1 if quality < 50 else 2)
    assert (difference != 0).mean() < (0.01 if quality < 50 else 0.2)
    assert (noise_twins.jpeg(image, quality) != image).mean() > 0.2


def test_a_lower_quality_is_farther_from_the_image() -> None:
    errors = [np.abs(_change(Jpeg(quality=quality), _ramp(48, 48))).mean() for quality in (100, 25, 15, 7)]
    assert errors == sorted(errors) and len(set(errors)) == 4


def test_jpeg_takes_a_single_channel() -> None:
    grey = _ramp(16, 16)[:, :, :1]
    assert Jpeg(quality=20).apply(grey, None).shape == (16, 16, 1)


@QUICK
@given(image=images, fraction=st.sampled_from([0.1, 0.2, 0.4, 0.77, 1.0]))
def test_black_lines_are_counted_exactly(image: Image, fraction: float) -> None:
    """round(fraction × height) rows, or width columns, are black and the rest is untouched."""
    image = np.maximum(image, 1)
    for noise, axis in ((BlackRows(fraction=fraction), 0), (BlackColumns(fraction=fraction), 1)):
        noisy = np.moveaxis(noise(image, generator(0, noise.kind, "a")), axis, 0)
        black = ~noisy.any(axis=(1, 2))
        assert black.sum() == round(fraction * image.shape[axis])
        np.testing.assert_array_equal(noisy[~black], np.moveaxis(image, axis, 0)[~black])


@pytest.mark.parametrize("noise", STRONG, ids=_name)
def test_a_noise_cannot_be_changed(noise: Noise) -> None:
    """Noises are immutable."""
    for name in type(noise).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(noise, name, getattr(noise, name))


@pytest.mark.parametrize(
    ("noise", "given_settings", "key"),
    [
        (Gaussian, {"std_grey": 5.0, "std": 1.0}, "std"),
        (Gaussian, {"std_grey": "5"}, "std_grey"),
        (Gaussian, {"std_grey": -1.0}, "std_grey"),
        (Gaussian, {"std_grey": 256.0}, "std_grey"),
        (Gaussian, {"std_grey": float("nan")}, "std_grey"),
        (Gaussian, {"std_grey": 5.0, "overflow": "mirror"}, "overflow"),
        (Gaussian, {}, "std_grey"),
        (Periodic, {"amplitude": -0.1}, "amplitude"),
        (Periodic, {"amplitude": 1.0, "amplitude_grey": -1.0}, "amplitude_grey"),
        (Periodic, {"amplitude": 1.0, "period_px": 0.0}, "period_px"),
        (Periodic, {"amplitude": 1.0, "pattern": "diagonal"}, "pattern"),
        (Periodic, {"amplitude": True}, "amplitude"),
        (SaltPepper, {"amount": -0.1}, "amount"),
        (SaltPepper, {"amount": 0.1, "unit": "percent"}, "unit"),
        (SaltPepper, {"amount": 0.1, "fraction": 0.1}, "fraction"),
        (Random, {"fraction": 1.1}, "fraction"),
        (Random, {"fraction": -0.1}, "fraction"),
        (Random, {"fraction": None}, "fraction"),
        (Patches, {"count": -1}, "count"),
        (Patches, {"count": MAX_PATCHES + 1}, "count"),
        (Patches, {"count": 1.5}, "count"),
        (Patches, {"count": 1, "side_fraction": 0.0}, "side_fraction"),
        (Patches, {"count": 1, "side_fraction": 1.1}, "side_fraction"),
        (Blur, {"std_px": -1.0}, "std_px"),
        (Blur, {"std_px": 1.0, "radius": 2}, "radius"),
        (BlackRows, {"fraction": 1.1}, "fraction"),
        (BlackRows, {"fraction": -0.1}, "fraction"),
        (BlackColumns, {"fraction": 1.1}, "fraction"),
        (BlackColumns, {"fraction": "0.1"}, "fraction"),
        (Speckle, {"std_fraction": -0.1}, "std_fraction"),
        (Speckle, {"std_fraction": 0.1, "std": 0.1}, "std"),
        (Jpeg, {"quality": 0}, "quality"),
        (Jpeg, {"quality": 101}, "quality"),
        (Jpeg, {"quality": 7.5}, "quality"),
    ],
)
def test_a_setting_that_is_unknown_or_of_the_wrong_type_or_out_of_range_is_refused(
    noise: type[Noise], given_settings: dict[str, Any], key: str
) -> None:
    """The error names this key and no other."""
    with pytest.raises(ValidationError) as refused:
        noise(**given_settings)
    assert [problem["loc"] for problem in refused.value.errors()] == [(key,)]


def _menus(*names: str) -> dict[str, Noise]:
    config = ROOT / "conf" / "make_noisy_datasets.yaml"
    return load(NoisyDatasets, config, [f"noise=[{','.join(names)}]", "dataset.kind=gtsrb"]).noise


def test_the_papers_levels_are_the_papers_numbers() -> None:
    """Section 4.2: +5, +25, +50 standard deviations; 0.25, 0.5 and 1 × (sin x + cos x); 0.1, 0.2, 0.4 per cent."""
    assert _menus("paper") == {
        "gaussian-min": Gaussian(std_grey=5.0),
        "gaussian-avg": Gaussian(std_grey=25.0),
        "gaussian-max": Gaussian(std_grey=50.0),
        "periodic-min": Periodic(amplitude=0.25, amplitude_grey=50.0, period_px=10.0, pattern="either"),
        "periodic-avg": Periodic(amplitude=0.5, amplitude_grey=50.0, period_px=10.0, pattern="either"),
        "periodic-max": Periodic(amplitude=1.0, amplitude_grey=50.0, period_px=10.0, pattern="either"),
        "salt_pepper-min": SaltPepper(amount=0.1, unit="per_cent"),
        "salt_pepper-avg": SaltPepper(amount=0.2, unit="per_cent"),
        "salt_pepper-max": SaltPepper(amount=0.4, unit="per_cent"),
    }


def test_the_proposals_random_noise_has_the_proposals_levels() -> None:
    """ "0% - 50% - 85% noise"."""
    noises = _menus("proposal")
    assert [noises[f"random-{level}"] for level in ("min", "avg", "max")] == [
        Random(fraction=fraction) for fraction in (0.0, 0.5, 0.85)
    ]


def test_every_noise_gives_the_bytes_that_it_gave_before() -> None:
    """SHA-256 of a ramp with each noise of three menus, so that no change of a byte goes unnoticed."""
    found = {
        name: hashlib.sha256(noise(_ramp(), generator(0, noise.kind, "train/00000/00000_00000")).tobytes()).hexdigest()
        for name, noise in _menus("paper", "proposal", "held_out").items()
    }
    expected = json.loads(GOLDEN.read_text())
    assert found == expected, "bytes changed: raise schema.FORMAT_VERSION and renew tests/golden"


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="x86 has other processors to be")
def test_every_noise_gives_the_same_bytes_on_an_older_processor() -> None:
    """NumPy without AVX and the C library without fused multiply-add have different last bits of sin, cos and exp."""
    older = {
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX2_Usable,-FMA_Usable",
        "OPENBLAS_CORETYPE": "Nehalem",
    }
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "reference")])
    test = f"import runpy; runpy.run_path({__file__!r})['test_every_noise_gives_the_bytes_that_it_gave_before']()"
    environment = {**os.environ, **older, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", test], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
