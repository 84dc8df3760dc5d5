import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from pipelines.noise.blur import Blur
from pipelines.noise.gaussian import Gaussian
from pipelines.noise.periodic import Periodic
from pipelines.noise.salt_pepper import SaltPepper
from training.augmentation.fresh_noise import FreshNoise, blur, gaussian, salt_pepper, waves

COUNT, SIDE = 6, 24
Arrays = np.ndarray


def stored(seed: int = 0, smooth: bool = False) -> Arrays:
    """(N, S, S, 3) uint8, of a whole range of grey levels."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    return np.stack([Blur(std_px=1.0).apply(image, None) for image in images]) if smooth else images


def units(images: Arrays) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def grey(images: torch.Tensor) -> Arrays:
    levels = images.permute(0, 2, 3, 1) * 255
    assert torch.equal(levels.round() / 255, levels / 255) or (levels - levels.round()).abs().max() < 1e-3
    return levels.round().byte().numpy()


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_gaussian_noise_is_that_of_the_data_sets() -> None:
    images, strengths = stored(), np.linspace(0, 60, COUNT, dtype=np.float32)
    normal = np.random.default_rng(1).standard_normal(images.shape, dtype=np.float32)
    ours = gaussian(units(images), torch.from_numpy(strengths), torch.from_numpy(normal).permute(0, 3, 1, 2))
    theirs = [Gaussian(std_grey=float(std)).apply(*pair) for std, *pair in zip(strengths, images, normal, strict=True)]
    different = grey(ours) != np.stack(theirs)
    assert different.mean() < 1e-4, "but for numbers that lie between two grey levels to the last bit"


@pytest.mark.parametrize(("pattern", "angle"), [("vertical", 0.0), ("horizontal", math.pi / 2)])
def test_waves_along_an_axis_are_those_of_the_data_sets(pattern: str, angle: float) -> None:
    images, amplitudes = stored(), torch.linspace(0, 60, COUNT)
    periods = torch.tensor([4.0, 6.0, 8.0, 10.0, 12.5, 40.0])
    ours = waves(units(images), amplitudes, periods, torch.zeros(COUNT), torch.full((COUNT,), angle))
    theirs = [
        Periodic.model_validate(
            {"amplitude": 1.0, "amplitude_grey": float(high), "period_px": float(long), "pattern": pattern}
        ).apply(image, True)
        for image, high, long in zip(images, amplitudes, periods, strict=True)
    ]
    different = grey(ours).astype(int) - np.stack(theirs)
    assert abs(different).max() <= 1
    assert (different != 0).mean() < 0.02


def test_a_wave_keeps_its_period_in_any_direction_and_its_phase_shifts_it() -> None:
    flat = torch.full((1, 1, 64, 64), 0.5)
    angle = torch.tensor([math.atan2(3, 4)])
    wave = waves(flat, torch.tensor([40.0]), torch.tensor([8.0]), torch.zeros(1), angle)[0, 0]
    # 8 px along (4, 3) / 5: twice that is 12.8 columns and 9.6 rows, five times are 32 columns and 24 rows.
    torch.testing.assert_close(wave[:40, :32], wave[24:, 32:], atol=1.5 / 255, rtol=0)
    assert not torch.allclose(wave[:40, :32], wave[12:52, 16:48], atol=20 / 255)
    along = waves(flat, torch.tensor([40.0]), torch.tensor([8.0]), torch.tensor([math.pi / 2]), torch.zeros(1))[0, 0]
    start = waves(flat, torch.tensor([40.0]), torch.tensor([8.0]), torch.zeros(1), torch.zeros(1))[0, 0]
    torch.testing.assert_close(along[:, :-2], start[:, 2:], atol=1.5 / 255, rtol=0)


def test_salt_and_pepper_is_that_of_the_data_sets() -> None:
    images, fractions = stored(), np.geomspace(0.001, 0.5, COUNT)
    made = [SaltPepper.draw(np.random.default_rng(seed), images.shape[1:]) for seed in range(COUNT)]
    order, salt = (torch.from_numpy(np.stack(part))[:, None] for part in zip(*made, strict=True))
    ours = salt_pepper(units(images), torch.from_numpy(fractions), order, salt)
    theirs = [
        SaltPepper(amount=float(fraction), unit="probability").apply(image, draw)
        for image, fraction, draw in zip(images, fractions, made, strict=True)
    ]
    assert np.array_equal(grey(ours), np.stack(theirs))


@pytest.mark.parametrize("std_px", [0.0, 0.7, 1.5])
def test_blur_is_scipys_gaussian_and_near_that_of_the_data_sets(std_px: float) -> None:
    """Pillow approximates the Gaussian by three boxes."""
    images = stored(smooth=True)
    ours = grey(blur(units(images), torch.full((COUNT,), std_px), 6)).astype(float)
    exact = gaussian_filter(images.astype(float), (0, std_px, std_px, 0), mode="nearest", radius=(0, 6, 6, 0))
    assert abs(ours - exact).max() <= 0.51
    pillows = np.stack([Blur(std_px=std_px).apply(image, None) for image in images])
    assert abs(ours - pillows).mean() <= 2.0 < abs(images - exact).mean() or std_px == 0


def test_half_of_a_batch_stays_clean_and_each_kind_gets_its_share() -> None:
    images = units(stored()).repeat(11, 1, 1, 1)[:64]
    noisy = FreshNoise()(images, draws())
    assert noisy.shape == images.shape
    changed = (noisy != images).flatten(1).any(1)
    assert not changed[:32].any()
    assert changed[32:].float().mean() > 0.9
    few = (noisy[48:56] != images[48:56]).any(1).float().mean()
    assert 0 < few < 0.11, "of the pixels of salt and pepper"
    assert 0 <= noisy.min() <= noisy.max() <= 1


def test_strengths_fill_their_ranges() -> None:
    images = torch.full((4000, 1, 16, 16), 0.5)
    noise = FreshNoise(clean_share=0.0, std_grey=20.0, amplitude_grey=20.0, blur_px=0.0)
    noisy = (noise(images, draws()) - images)[:, 0] * 255
    gaussian_std = noisy[:1000].flatten(1).std(1)
    assert gaussian_std.mean().item() == pytest.approx(10, abs=0.4)
    assert torch.quantile(gaussian_std, torch.tensor([0.25, 0.75])).tolist() == pytest.approx([5, 15], abs=0.7)
    peaks = noisy[1000:2000].flatten(1).abs().amax(1)
    assert 26 < peaks.max() <= 20 * math.sqrt(2) + 1
    share = (noisy[2000:3000].abs() > 100).flatten(1).double().mean()
    low, high = noise.fraction
    assert share.item() == pytest.approx((high - low) / math.log(high / low), rel=0.1)


def test_the_generator_alone_determines_the_noise_even_of_a_small_batch() -> None:
    images = units(stored())
    first, again, other = (FreshNoise()(images, draws(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert FreshNoise()(images[:1], draws()).shape == (1, 3, SIDE, SIDE)


def test_wrong_ranges_are_refused() -> None:
    for wrong in ({"period_px": [8, 2]}, {"fraction": [0, 0.1]}, {"fraction": [0.1, 1.5]}, {"period_px": [1, "inf"]}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            FreshNoise.model_validate(wrong)


def test_one_kind_of_one_strength_is_that_of_a_data_set() -> None:
    """As on the paper's strongest levels: for the most that a network can reach on them."""
    grey_half = torch.full((400, 3, 20, 20), 0.5)
    only = FreshNoise(clean_share=0.0, kinds=("gaussian",), weakest=1.0, std_grey=50.0)
    spread = (only(grey_half, draws()) - 0.5).flatten(1).std(1) * 255
    assert spread.mean().item() == pytest.approx(50, abs=0.5) and spread.std() < 2
    fields = {"amplitude_grey": 50.0, "period_px": (10.0, 10.0), "directions": "axes"}
    axes = FreshNoise.model_validate({"clean_share": 0.0, "kinds": ("waves",), "weakest": 1.0, **fields})
    image = np.full((20, 20, 3), 128, np.uint8)
    ways = [Periodic(amplitude=1.0).apply(image, vertical) for vertical in (True, False)]
    found = grey(axes(units(np.stack([image] * 400)), draws()))
    near = [[abs(one.astype(int) - way).max() <= 1 for way in ways] for one in found]
    assert all(any(of) for of in near)
    assert 0.4 < np.mean([of[0] for of in near]) < 0.6


def test_the_weakest_of_a_range_is_a_share_of_the_strongest() -> None:
    noise = FreshNoise(clean_share=0.0, kinds=("gaussian",), weakest=0.5, std_grey=20.0)
    spread = (noise(torch.full((2000, 1, 20, 20), 0.5), draws()) - 0.5).flatten(1).std(1) * 255
    assert 9 < spread.min() < 11 and spread.mean().item() == pytest.approx(15, abs=0.3)


def test_a_duplicate_kind_is_refused() -> None:
    with pytest.raises(ValidationError, match="kinds: gaussian, gaussian: each at most once"):
        FreshNoise(kinds=("gaussian", "gaussian"))
