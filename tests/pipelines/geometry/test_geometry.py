import re
from typing import Any

import numpy as np
import pytest
import render_twins
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydantic import ValidationError
from scipy import stats

from pipelines.geometry import GEOMETRIES, Geometry, Roi
from pipelines.geometry.contract import Resampling, Windowing
from pipelines.geometry.crop_or_pad import CropOrPad
from pipelines.geometry.jittered_roi_resize import JitteredRoiResize
from pipelines.geometry.resize import Resize
from pipelines.geometry.roi_resize import RoiResize
from pipelines.noise import Image

QUICK = settings(max_examples=30, derandomize=True, deadline=None)
ROI = Roi(0, 0, 0, 0)


def _numbered(height: int, width: int) -> Image:
    """Pixels numbered 1, 2, 3 … in reading order; the channels are n, n + 100 and n + 200 modulo 256."""
    numbers = np.arange(1, height * width + 1).reshape(height, width, 1) + np.array([0, 100, 200])
    return (numbers % 256).astype(np.uint8)


def _random(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _crop_or_pad(image: Image, size_px: int) -> Image:
    return CropOrPad()(image, ROI, size_px)


def _red(image: Image) -> list[list[int]]:
    return image[:, :, 0].tolist()


def _stretched(image: Image, size_px: int) -> NDArray[np.uint8]:
    return np.asarray(PillowImage.fromarray(image).resize((size_px, size_px), PillowImage.Resampling.BILINEAR))


@pytest.mark.parametrize(("key", "geometry"), GEOMETRIES.items(), ids=list(GEOMETRIES))
def test_a_menu_key_is_the_file_and_the_class_in_snake_case(key: str, geometry: type[Geometry]) -> None:
    """A geometry has the same name everywhere."""
    assert key == geometry.kind == geometry.__module__.rpartition(".")[2]
    assert key == re.sub(r"(?<!^)(?=[A-Z])", "_", geometry.__name__).lower()
    assert issubclass(geometry, Windowing) != issubclass(geometry, Resampling)


def test_noise_comes_before_cropping_and_after_resampling() -> None:
    """crop_or_pad only moves pixels; the others mix them."""
    windowing = [key for key, geometry in GEOMETRIES.items() if issubclass(geometry, Windowing)]
    assert windowing == ["crop_or_pad"]


@pytest.mark.parametrize(
    ("height", "width", "size_px", "expected"),
    [
        (3, 3, 3, [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        (3, 3, 1, [[5]]),
        (3, 3, 2, [[1, 2], [4, 5]]),
        (4, 4, 1, [[6]]),
        (4, 4, 3, [[1, 2, 3], [5, 6, 7], [9, 10, 11]]),
        (5, 5, 2, [[7, 8], [12, 13]]),
        (2, 2, 3, [[1, 2, 0], [3, 4, 0], [0, 0, 0]]),
        (1, 1, 4, [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
        (1, 1, 3, [[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
        (1, 5, 3, [[0, 0, 0], [2, 3, 4], [0, 0, 0]]),
        (4, 1, 3, [[0, 1, 0], [0, 2, 0], [0, 3, 0]]),
        (2, 4, 3, [[1, 2, 3], [5, 6, 7], [0, 0, 0]]),
    ],
)
def test_crop_or_pad_on_arrays_drawn_by_hand(height: int, width: int, size_px: int, expected: list[list[int]]) -> None:
    """For an odd remainder the extra pixel is cropped or padded at the right and bottom; padding is black."""
    squared = _crop_or_pad(_numbered(height, width), size_px)
    numbers = np.array(expected)[:, :, None]
    colours = np.where(numbers > 0, (numbers + np.array([0, 100, 200])) % 256, 0)
    assert _red(squared) == expected
    np.testing.assert_array_equal(squared, colours)


@QUICK
@given(height=st.integers(1, 40), width=st.integers(1, 40), size_px=st.integers(1, 40))
def test_crop_or_pad_equals_its_plain_twin(height: int, width: int, size_px: int) -> None:
    """It equals a pixel-by-pixel implementation for any image size."""
    image = _random(height, width)
    np.testing.assert_array_equal(_crop_or_pad(image, size_px), render_twins.crop_or_pad(image, size_px))


@QUICK
@given(side=st.integers(1, 60), more=st.integers(0, 60))
def test_padding_and_then_cropping_back_is_the_identity(side: int, more: int) -> None:
    """For any parity of both sides, a square image is restored from a larger square."""
    image = _random(side, side)
    np.testing.assert_array_equal(_crop_or_pad(_crop_or_pad(image, side + more), side), image)


@QUICK
@given(height=st.integers(1, 60), width=st.integers(1, 60), size_px=st.integers(1, 60))
def test_crop_or_pad_twice_is_crop_or_pad_once(height: int, width: int, size_px: int) -> None:
    """A square of the right size is unchanged."""
    once = _crop_or_pad(_random(height, width), size_px)
    assert once.shape == (size_px, size_px, 3)
    np.testing.assert_array_equal(_crop_or_pad(once, size_px), once)


@QUICK
@given(half=st.tuples(*[st.integers(0, 30)] * 3))
def test_crop_or_pad_keeps_the_centre_pixel(half: tuple[int, int, int]) -> None:
    """If all sides are odd, the centre pixel stays at the centre."""
    height, width, size_px = (2 * number + 1 for number in half)
    image = _random(height, width)
    squared = _crop_or_pad(image, size_px)
    np.testing.assert_array_equal(squared[size_px // 2, size_px // 2], image[height // 2, width // 2])


@pytest.mark.parametrize("size_px", [28, 40, 50, 75])
def test_padding_is_black_and_only_padding(size_px: int) -> None:
    """A padded white image of 21 × 16 has exactly 21 · 16 white pixels, and the others are black."""
    squared = _crop_or_pad(np.full((21, 16, 3), 255, np.uint8), size_px)
    assert int((squared == 255).all(axis=2).sum()) == 21 * 16
    assert int((squared == 0).all(axis=2).sum()) == size_px**2 - 21 * 16


def test_crop_or_pad_ignores_the_region_of_interest() -> None:
    """The paper crops the centre of the image, wherever the sign is."""
    image = _random(30, 20)
    np.testing.assert_array_equal(CropOrPad()(image, Roi(3, 4, 9, 9), 16), CropOrPad()(image, Roi(0, 0, 1, 1), 16))


def test_resize_is_pillows_antialiased_bilinear_filter() -> None:
    """A black and white 2 × 1 image over 4 pixels has weights 1, 3/4, 1/4, 0; any other image equals Pillow's
    result."""
    image = np.array([[[0] * 3, [255] * 3]], np.uint8)
    assert _red(Resize()(image, ROI, 4)) == [[0, 64, 191, 255]] * 4
    image = _random(50, 70)
    np.testing.assert_array_equal(Resize()(image, ROI, 28), _stretched(image, 28))


def test_resize_averages_where_it_shrinks() -> None:
    """Antialiasing: a fine checkerboard reduced fourfold is nearly uniform grey."""
    board = np.repeat((np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    shrunk = Resize()(board, ROI, 16)
    assert shrunk.min() >= 120 and shrunk.max() <= 135


@pytest.mark.parametrize("geometry", [Resize(), RoiResize(margin_fraction=0.0), JitteredRoiResize()], ids=str)
@QUICK
@given(height=st.integers(1, 60), width=st.integers(1, 60), size_px=st.integers(8, 80), grey=st.integers(0, 255))
def test_resampling_keeps_a_constant_image_constant(
    geometry: Resampling, height: int, width: int, size_px: int, grey: int
) -> None:
    """No filter introduces a grey level or a dark border."""
    image = np.full((height, width, 3), grey, np.uint8)
    resampled = geometry(image, Roi(width // 3, height // 3, width - 1, height - 1), size_px)
    np.testing.assert_array_equal(resampled, np.full((size_px, size_px, 3), grey, np.uint8))


@pytest.mark.parametrize(
    ("roi", "margin_fraction", "rows", "columns"),
    [
        # 20 × 10 px with x2, y2 inside: a tenth is 2 px across and 1 px down
        (Roi(10, 12, 29, 21), 0.1, slice(11, 23), slice(8, 32)),
        (Roi(10, 12, 29, 21), 0.0, slice(12, 22), slice(10, 30)),
        (Roi(10, 12, 29, 21), 0.3, slice(9, 25), slice(4, 36)),
        # 3 × 3 px: a tenth is 0.3 px, which is none
        (Roi(10, 12, 12, 14), 0.1, slice(12, 15), slice(10, 13)),
        # one pixel
        (Roi(7, 9, 7, 9), 0.1, slice(9, 10), slice(7, 8)),
        # clipped at each border of the 40 × 50 image
        (Roi(1, 12, 20, 21), 0.1, slice(11, 23), slice(0, 23)),
        (Roi(29, 12, 48, 21), 0.1, slice(11, 23), slice(27, 50)),
        (Roi(10, 0, 29, 9), 0.1, slice(0, 11), slice(8, 32)),
        (Roi(10, 30, 29, 39), 0.1, slice(29, 40), slice(8, 32)),
        (Roi(0, 0, 49, 39), 0.1, slice(0, 40), slice(0, 50)),
        (Roi(20, 20, 24, 24), 100.0, slice(0, 40), slice(0, 50)),
    ],
)
def test_roi_resize_cuts_the_sign_with_its_margin(
    roi: Roi, margin_fraction: float, rows: slice, columns: slice
) -> None:
    """The margin is a fraction of the sign's sides, x2 and y2 are inclusive, and the crop ends at the image's
    border."""
    image = _random(40, 50)
    expected = _stretched(np.ascontiguousarray(image[rows, columns]), 24)
    np.testing.assert_array_equal(RoiResize(margin_fraction=margin_fraction)(image, roi, 24), expected)


def test_a_jittered_region_has_the_sign_resized_from_the_sides_that_were_drawn() -> None:
    """Every side of a 20 × 10 px sign moves by up to 2 and 1 px, uniformly before rounding, on its own."""
    roi, jittered = Roi(10, 12, 29, 21), JitteredRoiResize()
    found = [jittered.found(roi, 0, f"test/{number:05d}") for number in range(4000)]
    moved = np.array(found) - np.array(roi)
    for column, most in enumerate((2, 1, 2, 1)):
        numbers, counts = np.unique(moved[:, column], return_counts=True)
        assert numbers.tolist() == list(range(-most, most + 1))
        inner = 4000 / (2 * most)  # a whole pixel's share; the outermost numbers get half of it
        expected = [inner / 2, *[inner] * (2 * most - 1), inner / 2]
        assert stats.chisquare(counts, expected).pvalue > 0.001
    assert np.abs(np.corrcoef(moved.T)[np.triu_indices(4, 1)]).max() < 4 / np.sqrt(4000)
    image = _random(40, 50)
    np.testing.assert_array_equal(jittered(image, found[0], 24), RoiResize()(image, found[0], 24))


def test_the_image_and_the_seed_alone_decide_the_jitter() -> None:
    roi, jittered = Roi(10, 12, 99, 91), JitteredRoiResize()
    assert jittered.found(roi, 3, "a") == jittered.found(roi, 3, "a")
    assert len({jittered.found(roi, *key) for key in ((3, "a"), (4, "a"), (3, "b"))}) == 3
    assert JitteredRoiResize(jitter_fraction=0.0).found(roi, 3, "a") == roi
    assert RoiResize().found(roi, 3, "a") == roi


@QUICK
@given(
    x=st.integers(0, 20), y=st.integers(0, 20), width=st.integers(1, 30), height=st.integers(1, 30),
    seed=st.integers(0, 99), jitter_fraction=st.floats(0, 0.499),
)  # fmt: skip
def test_a_jittered_region_is_never_empty(
    x: int, y: int, width: int, height: int, seed: int, jitter_fraction: float
) -> None:
    geometry = JitteredRoiResize(jitter_fraction=jitter_fraction, margin_fraction=0.0)
    found = geometry.found(Roi(x, y, x + width - 1, y + height - 1), seed, "a")
    assert found.x1 <= found.x2 and found.y1 <= found.y2
    assert geometry(_random(y + height, x + width), found, 8).shape == (8, 8, 3)


def test_roi_resize_has_a_margin_of_a_tenth_unless_told_otherwise() -> None:
    """The default of the menu."""
    image, roi = _random(40, 50), Roi(10, 12, 29, 21)
    np.testing.assert_array_equal(RoiResize()(image, roi, 24), RoiResize(margin_fraction=0.1)(image, roi, 24))


def test_nothing_outside_the_sign_and_its_margin_is_in_the_square() -> None:
    """A white sign on black gives an all-white image, up to the last row and column of the region."""
    image = np.zeros((40, 50, 3), np.uint8)
    image[12:22, 10:30] = 255
    cut = RoiResize(margin_fraction=0.0)
    assert (cut(image, Roi(10, 12, 29, 21), 16) == 255).all()
    for wider in (Roi(9, 12, 29, 21), Roi(10, 11, 29, 21), Roi(10, 12, 30, 21), Roi(10, 12, 29, 22)):
        assert (cut(image, wider, 16) < 255).any()


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_a_geometry_gives_every_size_once_and_does_not_change_its_input(kind: str) -> None:
    """Each requested size is a uint8 square, and the input is unchanged."""
    image = _random(33, 47)
    before = image.copy()
    image.flags.writeable = False
    stages = list(GEOMETRIES[kind]().stages(image, Roi(5, 5, 30, 25), [50, 28]))
    assert sorted(size for stage in stages for size in stage.windows) == [28, 50]
    for size_px in (28, 50):
        out = GEOMETRIES[kind]()(image, Roi(5, 5, 30, 25), size_px)
        assert (out.dtype, out.shape) == (np.uint8, (size_px, size_px, 3))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("geometry", "given_settings", "key"),
    [
        (CropOrPad, {"margin_fraction": 0.1}, "margin_fraction"),
        (Resize, {"filter": "nearest"}, "filter"),
        (RoiResize, {"margin_fraction": -0.1}, "margin_fraction"),
        (RoiResize, {"margin_fraction": "0.1"}, "margin_fraction"),
        (RoiResize, {"margin_px": 3}, "margin_px"),
        (JitteredRoiResize, {"jitter_fraction": 0.5}, "jitter_fraction"),
        (JitteredRoiResize, {"jitter_fraction": -0.1}, "jitter_fraction"),
    ],
)
def test_a_setting_that_is_unknown_or_of_the_wrong_type_or_out_of_range_is_refused(
    geometry: type[Geometry], given_settings: dict[str, Any], key: str
) -> None:
    """The error names this key and no other."""
    with pytest.raises(ValidationError) as refused:
        geometry(**given_settings)
    assert [problem["loc"] for problem in refused.value.errors()] == [(key,)]
