"""Shadows, erased parts and low resolution, beside plain twins and Pillow."""

from collections.abc import Callable
from typing import Any

import augmentation_twins as twins
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from pydantic import ValidationError

from pipelines.settings import decisive_values
from training.augmentation.augmentation import DRAWS, LATER_DRAWS, Augmentation
from training.augmentation.erase import Erase
from training.augmentation.low_resolution import LowResolution, resampling
from training.augmentation.motion_blur import MotionBlur
from training.augmentation.shadow import Shadow

STILL: dict[str, Any] = {"rotation_deg": 0.0, "contrast": 0.0, "flips": "none"}
PARTS: dict[str, Any] = {
    "shadow": Shadow, "erase": Erase, "motion_blur": MotionBlur, "low_resolution": LowResolution,
}  # fmt: skip
COUNT, SIDE = 40, 24


def batch(channels: int = 3, count: int = COUNT) -> torch.Tensor:
    return torch.rand(count, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def uniform(numbers: int, count: int = COUNT, seed: int = 0) -> torch.Tensor:
    return torch.rand((numbers, count), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("part", "twin"),
    [
        (Shadow(share=0.6, deepest=0.9), twins.shadow),
        (Erase(share=0.6, largest_fraction=0.5), twins.erase),
        (MotionBlur(share=0.6, longest_fraction=0.3), twins.motion_blur),
        (LowResolution(share=0.6, smallest_px=5), twins.low_resolution),
    ],
)
def test_it_is_what_its_plain_twin_makes_of_each_image(part: Any, twin: Callable[..., Any], channels: int) -> None:
    images, draws = batch(channels), uniform(part.draws)
    ours = part(images, draws)
    changed = 0
    for row, image in enumerate(images.numpy()):
        expected = twin(image, [float(draw) for draw in draws[:, row]], **part.model_dump())
        np.testing.assert_allclose(ours[row].numpy(), expected, atol=1e-5)
        changed += not np.array_equal(expected, image)
    assert 0.4 * COUNT < changed < 0.8 * COUNT
    assert 0 <= ours.min() <= ours.max() <= 1


@settings(max_examples=40, derandomize=True, deadline=None)
@given(side=st.integers(1, 60), reduced=st.integers(1, 60), seed=st.integers(0, 9))
def test_resampling_is_pillows_at_every_size(side: int, reduced: int, seed: int) -> None:
    reduced = min(side, reduced)
    values = np.random.default_rng(seed).random((side, side), np.float32)
    matrix = resampling(side, torch.tensor([float(reduced)]))[0].numpy()
    small = PillowImage.fromarray(values).resize((reduced, reduced), PillowImage.Resampling.BILINEAR)
    expected = np.asarray(small.resize((side, side), PillowImage.Resampling.BILINEAR))
    np.testing.assert_allclose(matrix @ values @ matrix.T, expected, atol=1e-5)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-5)
    if reduced == side:
        np.testing.assert_array_equal(matrix, np.eye(side, dtype=np.float32))


def test_all_sizes_are_drawn_and_a_larger_smallest_than_the_image_changes_nothing() -> None:
    part = LowResolution(share=1.0, smallest_px=12)
    images = batch(1, 1).expand(2000, -1, -1, -1)
    changed = part(images, uniform(2, 2000))
    assert len(changed.sum(3).sum(2).unique()) >= 24 - 12 + 1
    assert torch.equal(LowResolution(share=1.0, smallest_px=99)(images, uniform(2, 2000)), images)


def test_a_shadow_only_takes_light_and_leaves_a_part_lit() -> None:
    flat = torch.ones(400, 3, SIDE, SIDE)
    shaded = Shadow(share=1.0)(flat, uniform(6, 400))
    assert shaded.max() <= 1 and shaded.min() > 0.1
    darkest, lightest = shaded.flatten(1).min(1).values, shaded.flatten(1).max(1).values
    assert (darkest < 0.95).float().mean() > 0.9
    assert (lightest > 0.9).float().mean() > 0.7, "a shadow over everything would be brightness"


@pytest.mark.parametrize("name", PARTS)
def test_an_augmentation_hands_each_part_its_own_numbers(name: str) -> None:
    """Those of the earlier changes stay, whichever part is added."""
    images, labels = batch(), torch.zeros(COUNT, dtype=torch.int64)
    part = PARTS[name](share=1.0)
    alone = Augmentation.model_validate({**STILL, name: part})
    assert alone.draws == DRAWS + LATER_DRAWS + part.draws
    draws = uniform(alone.draws)
    changed, kept = alone(images, labels, draws)
    torch.testing.assert_close(changed, part(images, draws[-part.draws :]))
    assert torch.equal(kept, labels)
    every = Augmentation.model_validate({**STILL, **{each: of(share=1.0) for each, of in PARTS.items()}})
    draws = uniform(every.draws)
    expected = images
    own = torch.split(draws[DRAWS + LATER_DRAWS :], [of.draws for of in PARTS.values()])
    for of, numbers in zip(PARTS.values(), own, strict=True):
        expected = of(share=1.0)(expected, numbers)
    torch.testing.assert_close(every(images, labels, draws)[0], expected)


def test_without_them_nothing_is_drawn_and_no_fingerprint_changes() -> None:
    assert Augmentation().draws == DRAWS
    assert not set(PARTS) & decisive_values(Augmentation()).keys()
    assert set(PARTS) <= decisive_values(Augmentation.model_validate({name: of() for name, of in PARTS.items()})).keys()


@pytest.mark.parametrize(
    ("part", "wrong"), [(Shadow, {"share": 1.1}), (Shadow, {"deepest": 0.0}), (Erase, {"largest_fraction": 0.0}),
                        (LowResolution, {"smallest_px": 0})],
)  # fmt: skip
def test_values_out_of_range_are_refused(part: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        part.model_validate(wrong)
