from collections.abc import Sequence

import numpy as np
import pytest
import render_twins

from pipelines.geometry import GEOMETRIES, Geometry, Roi
from pipelines.geometry.crop_or_pad import CropOrPad
from pipelines.geometry.jittered_roi_resize import JitteredRoiResize
from pipelines.geometry.resize import Resize
from pipelines.geometry.roi_resize import RoiResize
from pipelines.noise import NOISES, Image, Noise
from pipelines.noise.black_columns import BlackColumns
from pipelines.noise.black_rows import BlackRows
from pipelines.noise.blur import Blur
from pipelines.noise.gaussian import Gaussian
from pipelines.noise.jpeg import Jpeg
from pipelines.noise.patches import Patches
from pipelines.noise.periodic import Periodic
from pipelines.noise.random import Random
from pipelines.noise.salt_pepper import SaltPepper
from pipelines.noise.speckle import Speckle
from pipelines.render import rendering
from pipelines.render.rendering import Original, Rendering
from pipelines.store.cell_rows import NoisyRows
from pipelines.store.schema import Cell

SIZES = (28, 40, 75)


@pytest.fixture(autouse=True, params=["plain", "compiled"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here holds for both."""
    monkeypatch.setattr(rendering, "MIN_IMAGES_COMPILED", 0 if request.param == "compiled" else 10**9)


EVERY_GEOMETRY = CropOrPad(), Resize(), RoiResize(), JitteredRoiResize(jitter_fraction=0.3)
VARIANTS: dict[str, Noise | None] = {
    "clean": None,
    "gaussian-min": Gaussian(std_grey=5.0),
    "gaussian-max": Gaussian(std_grey=50.0),
    "periodic-max": Periodic(amplitude=1.0),
    "salt_pepper-min": SaltPepper(amount=5.0),
    "salt_pepper-max": SaltPepper(amount=40.0),
    "random-max": Random(fraction=0.85),
    "patches-max": Patches(count=4),
    "blur-max": Blur(std_px=4.0),
    "black_rows-max": BlackRows(fraction=0.4),
    "black_columns-max": BlackColumns(fraction=0.4),
    "speckle-max": Speckle(std_fraction=0.6),
    "jpeg-max": Jpeg(quality=7),
}


def _original(number: int, height: int, width: int, black: bool = False) -> Original:
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 1 if black else 256, (height, width, 3), dtype=np.uint8)
    pixels.flags.writeable = False
    return Original(f"train/00000/{number:05d}_00000", pixels, Roi(2, 3, width - 4, height - 3))


ORIGINALS = [
    _original(0, 15, 16), _original(1, 75, 75), _original(2, 120, 33), _original(3, 28, 90),
    _original(4, 41, 40), _original(5, 99, 101), _original(6, 20, 20, black=True),
]  # fmt: skip


def _rendering(geometry: Geometry | None = None, seed: int = 5) -> Rendering:
    return Rendering(geometry or CropOrPad(), SIZES, VARIANTS, seed)


def _blocks(rendering: Rendering, originals: Sequence[Original] = ORIGINALS) -> dict[tuple[int, str], NoisyRows]:
    blocks = list(rendering.cell_rows(originals))
    by_key = {(block.size_px, block.variant): block for block in blocks}
    assert len(by_key) == len(blocks)
    return by_key


def _image(block: NoisyRows, row: int) -> Image:
    return block.pixels[row].reshape(block.size_px, block.size_px, 3)


@pytest.mark.parametrize("geometry", EVERY_GEOMETRY, ids=lambda geometry: geometry.kind)
def test_rows_equal_the_plain_twin(geometry: Geometry) -> None:
    """Equal to processing images one by one, with noise before windowing or after resampling, each noise drawn
    again."""
    assert {geometry.kind for geometry in EVERY_GEOMETRY} == set(GEOMETRIES)
    assert {noise.kind for noise in VARIANTS.values() if noise} == set(NOISES)
    blocks = _blocks(_rendering(geometry))
    assert blocks.keys() == {(size, variant) for size in SIZES for variant in VARIANTS}
    for row, original in enumerate(ORIGINALS):
        for key, expected in render_twins.render(geometry, SIZES, VARIANTS, 5, original).items():
            np.testing.assert_array_equal(_image(blocks[key], row), expected, err_msg=f"{key}, image {row}")


@pytest.mark.parametrize("geometry", [CropOrPad(), RoiResize()], ids=lambda geometry: geometry.kind)
def test_energies_equal_the_formula_in_float64(geometry: Geometry) -> None:
    """The signal is ‖clean‖² and the noise ‖noisy − clean‖² of each image, after the geometry."""
    blocks = _blocks(_rendering(geometry))
    for (size, variant), block in blocks.items():
        clean, noisy = blocks[size, "clean"].pixels.astype(np.float64), block.pixels.astype(np.float64)
        assert (block.pixels.dtype, block.signal.dtype, block.noise.dtype) == (np.uint8, np.uint64, np.uint64)
        np.testing.assert_array_equal(block.signal, (clean**2).sum(axis=1))
        np.testing.assert_array_equal(block.noise, ((noisy - clean) ** 2).sum(axis=1))
        assert variant == "clean" or block.noise.any()


def test_clean_has_no_noise_and_the_pixels_of_the_geometry() -> None:
    """The variant clean is the geometry alone."""
    for size in SIZES:
        block = _blocks(_rendering())[size, "clean"]
        assert not block.noise.any()
        for row, original in enumerate(ORIGINALS):
            expected = render_twins.crop_or_pad(original.pixels, size)
            np.testing.assert_array_equal(_image(block, row), expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_draw_serves_every_size_of_a_windowing(variant: str) -> None:
    """Noise comes before the crop: the noisy image of 28 px is the centre of the noisy one of 75 px.

    (Where the original has odd sides, as here; else the floors of the two crops add up to one pixel beside it.)"""
    blocks = _blocks(_rendering())
    for row in (1, 5):
        centre = render_twins.crop_or_pad(_image(blocks[75, variant], row), 28)
        np.testing.assert_array_equal(_image(blocks[28, variant], row), centre)


def test_each_size_of_a_resampling_has_its_own_draw() -> None:
    """Noise is added after resampling, so that its strength is not reduced by averaging."""
    grey = [Original("test/00000", np.full((75, 75, 3), 128, np.uint8), Roi(0, 0, 74, 74))]
    blocks = _blocks(_rendering(Resize()), grey)
    for size in SIZES:
        assert _image(blocks[size, "gaussian-min"], 0).std() == pytest.approx(5, rel=0.06)


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_stays_black_under_every_noise(variant: str) -> None:
    """Noise does not affect the border that the geometry adds."""
    block = _blocks(_rendering())[75, variant]
    padded = _image(block, 0).copy()
    first = (75 - 15) // 2, (75 - 16) // 2
    padded[first[0] : first[0] + 15, first[1] : first[1] + 16] = 0
    assert not padded.any()


@pytest.mark.parametrize("geometry", [CropOrPad(), Resize()], ids=lambda geometry: geometry.kind)
def test_a_batch_of_seven_equals_seven_batches_of_one(geometry: Geometry) -> None:
    """The result does not depend on the other images of the batch."""
    together = _blocks(_rendering(geometry))
    apart = [_blocks(_rendering(geometry), [original]) for original in ORIGINALS]
    for key, block in together.items():
        for name in ("pixels", "signal", "noise"):
            whole = np.concatenate([getattr(blocks[key], name) for blocks in apart])
            np.testing.assert_array_equal(getattr(block, name), whole)


def test_the_order_of_the_images_is_kept() -> None:
    """Reversed images give reversed rows for every size and variant."""
    forwards, backwards = _blocks(_rendering()), _blocks(_rendering(), ORIGINALS[::-1])
    for key, block in forwards.items():
        np.testing.assert_array_equal(block.pixels, backwards[key].pixels[::-1])


def test_the_seed_changes_the_noise_and_nothing_else() -> None:
    """Another seed gives other noise; clean, blur and JPEG use no random numbers and stay the same."""
    one, other = _blocks(_rendering(seed=5)), _blocks(_rendering(seed=6))
    for key, block in one.items():
        same = np.array_equal(block.pixels, other[key].pixels)
        assert same == (key[1] in ("clean", "blur-max", "jpeg-max")), key


def test_only_keeps_the_sizes_and_variants_that_are_needed() -> None:
    """In the order of the settings, with the same pixels and energies as without the restriction."""
    cells = [Cell("crop_or_pad", 75, "patches-max"), Cell("crop_or_pad", 28, "gaussian-max")]
    some = _rendering().only(iter(cells))
    assert (some.sizes_px, list(some.variants)) == ((28, 75), ["gaussian-max", "patches-max"])
    assert (some.geometry, some.seed) == (CropOrPad(), 5)
    whole = _blocks(_rendering())
    for key, block in _blocks(some).items():
        for name in ("pixels", "signal", "noise"):
            np.testing.assert_array_equal(getattr(block, name), getattr(whole[key], name))


def test_clean_is_made_only_if_requested() -> None:
    """A run without the variant clean still knows each image's signal."""
    cells = [Cell("crop_or_pad", 28, "blur-max")]
    (block,) = _rendering().only(cells).cell_rows(ORIGINALS)
    assert (block.size_px, block.variant) == (28, "blur-max")
    np.testing.assert_array_equal(block.signal, _blocks(_rendering())[28, "clean"].signal)
