"""The compiled kernel against NumPy's, byte by byte."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.geometry import GEOMETRIES, Roi
from pipelines.noise import Noise
from pipelines.noise.gaussian import Gaussian
from pipelines.noise.periodic import Periodic
from pipelines.noise.salt_pepper import SaltPepper
from pipelines.render import compiled, plain, rendering
from pipelines.render.placement import Placed, Placement
from pipelines.render.rendering import Original, Rendering

NOISES = st.one_of(
    st.builds(Gaussian, std_grey=st.floats(0, 255), overflow=st.sampled_from(["clip", "wrap"])),
    st.builds(
        Periodic, amplitude=st.floats(0, 10), period_px=st.floats(0.5, 100),
        pattern=st.sampled_from(["vertical", "horizontal", "either"]),
    ),
    st.builds(SaltPepper, amount=st.floats(0, 1), unit=st.just("probability")),
)  # fmt: skip
SIDES = st.integers(1, 90)


def _image(seed: int, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    image.flags.writeable = False  # as decoded images are
    return image


@given(NOISES, SIDES, SIDES, st.sampled_from([1, 3]), st.integers(0, 2**32))
def test_the_noises_have_the_same_bytes(noise: Noise, height: int, width: int, channels: int, seed: int) -> None:
    """For images of any shape, and of one channel."""
    image = _image(seed, height, width, channels)
    draw = noise.draw(np.random.default_rng(seed), image.shape)
    before = image.copy()
    np.testing.assert_array_equal(compiled.noisy(noise, image, draw), plain.noisy(noise, image, draw))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("std_grey", [0.3, 5.0, 25.0, 50.0, 254.9])
def test_gaussian_rounds_every_value_alike(std_grey: float) -> None:
    """Products and sums are rounded to float32 one after the other: a fused multiply-add would differ in some of four
    million values. (It would, which the second comparison shows.)"""
    image = _image(1, 1000, 1334, 3)
    noise = Gaussian(std_grey=std_grey)
    draw = noise.draw(np.random.default_rng(2), image.shape)
    np.testing.assert_array_equal(compiled.noisy(noise, image, draw), plain.noisy(noise, image, draw))
    fused = np.rint(draw.astype(np.float64) * np.float32(std_grey) + image).clip(0, 255).astype(np.uint8)
    assert std_grey in (5.0, 25.0, 50.0) or (fused != plain.noisy(noise, image, draw)).any()


def _placed(kernel: object, geometry: str, images: list[NDArray[np.uint8]], sizes: tuple[int, ...]) -> list[Placed]:
    channels = images[0].shape[2]
    clean, changed = (kernel.Block(len(images), sizes, channels) for _ in range(2))  # type: ignore[attr-defined]
    for row, image in enumerate(images):
        roi = Roi(0, 0, image.shape[1] - 1, image.shape[0] - 1)
        for stage in GEOMETRIES[geometry]().stages(image, roi, sizes):
            placement = Placement.of(stage, sizes)
            clean.place(row, placement.image, placement)
            changed.place(row, 255 - placement.image, placement)
    return [*clean.placed(clean), *changed.placed(clean)]


@given(
    st.sampled_from(["crop_or_pad", "resize"]),
    st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=4),
    st.lists(st.integers(8, 80), min_size=1, max_size=3, unique=True).map(tuple),
    st.sampled_from([1, 3]),
)
def test_placing_has_the_same_pixels_and_sums(
    geometry: str, shapes: list[tuple[int, int]], sizes: tuple[int, ...], channels: int
) -> None:
    """Cropped, padded, and both."""
    images = [_image(number, *shape, channels) for number, shape in enumerate(shapes)]
    ours, twins = (_placed(kernel, geometry, images, sizes) for kernel in (compiled, plain))
    assert [one.size_px for one in ours] == [one.size_px for one in twins] == [*sizes, *sizes]
    for one, twin in zip(ours, twins, strict=True):
        for name in ("pixels", "energy", "difference", "sums"):
            np.testing.assert_array_equal(getattr(one, name), getattr(twin, name), err_msg=f"{name}, {one.size_px} px")
            assert getattr(one, name).dtype == getattr(twin, name).dtype


def test_the_largest_sums_are_exact() -> None:
    """White images of 512 px, the largest size, next to black ones."""
    image = np.full((512, 512, 3), 255, np.uint8)
    (_, changed) = _placed(compiled, "crop_or_pad", [image, image], (512,))
    (clean, _) = _placed(compiled, "crop_or_pad", [image, image], (512,))
    values = 512 * 512 * 3
    assert clean.energy.tolist() == changed.difference.tolist() == [values * 255**2] * 2
    assert clean.sums.tolist() == [[2 * values // 3 * 255] * 3, [2 * values // 3 * 255**2] * 3]


def test_few_images_and_machines_without_numba_use_numpy(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where Numba is missing or does not work, a warning says so, once."""
    few, many = rendering.MIN_IMAGES_COMPILED - 1, rendering.MIN_IMAGES_COMPILED
    assert (rendering._kernel(few), rendering._kernel(many)) == (plain, compiled)
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "pipelines.render.compiled")
    rendering._compiled_or_plain.cache_clear()
    assert rendering._kernel(few) is rendering._kernel(many) is rendering._kernel(many) is plain
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == ["warning: Numba cannot be used"]
    rendering._compiled_or_plain.cache_clear()


def test_rows_of_both_kernels_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row group with levels of a noise that is compiled, and one that is not, has the same rows either way."""
    variants: dict[str, Noise | None] = {
        "clean": None, "gaussian-max": Gaussian(std_grey=50), "wrapped": Gaussian(std_grey=50, overflow="wrap"),
        "periodic-min": Periodic(amplitude=0.25), "salt_pepper-avg": SaltPepper(amount=2),
    }  # fmt: skip
    originals = [Original(str(seed), _image(seed, 30 + seed, 60 - seed, 3), Roi(1, 1, 20, 20)) for seed in range(9)]
    rows = []
    for smallest in (0, 10**9):
        monkeypatch.setattr(rendering, "MIN_IMAGES_COMPILED", smallest)
        made = Rendering(GEOMETRIES["crop_or_pad"](), (28, 75), variants, 3).cell_rows(originals)
        rows.append([tuple(map(np.ndarray.tolist, row[2:])) + row[:2] for row in made])
    assert rows[0] == rows[1]
    assert len(rows[0]) == 10


COMPARISON = """
import numpy as np
from pipelines.noise.gaussian import Gaussian
from pipelines.render import compiled, plain
noise, random = Gaussian(std_grey=33.3), np.random.default_rng(0)
image = random.integers(0, 256, (500, 667, 3), dtype=np.uint8)
draw = noise.draw(random, image.shape)
print((compiled.noisy(noise, image, draw) == plain.noisy(noise, image, draw)).all())
"""


def _compared(before: str = "", **environment: str) -> str:
    command = [sys.executable, "-c", before + COMPARISON]
    return subprocess.run(command, check=True, env=os.environ | environment, stdout=subprocess.PIPE, text=True).stdout


def test_the_bytes_are_the_same_on_an_older_processor() -> None:
    """One without AVX, as Numba compiles for it."""
    assert _compared(NUMBA_CPU_NAME="generic") == "True\n"


def test_where_nothing_can_be_cached_the_functions_are_compiled_each_time() -> None:
    """Numba writes compiled functions beside the source, in the user's cache or in NUMBA_CACHE_DIR."""
    nowhere = "import numba.core.caching\nnumba.core.caching.CacheImpl._locator_classes = []\n"
    assert _compared(nowhere) == "True\n"
