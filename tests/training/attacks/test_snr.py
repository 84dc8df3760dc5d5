import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.attacks import AttackError, Eps, SnrDb
from training.attacks.snr import Meter


def ratio_db(signal: torch.Tensor, noise: torch.Tensor) -> float:
    """Equation 2 of the report, in float64."""
    norms = [np.linalg.norm(values.double().numpy().ravel()) for values in (signal, noise)]
    return float(20 * np.log10(norms[0] / norms[1]))


@given(seed=st.integers(0, 1000), size_px=st.sampled_from([28, 75]), std=st.sampled_from([1e-5, 1e-3, 0.1]))
def test_ratios_are_those_of_the_reports_equation_2(seed: int, size_px: int, std: float) -> None:
    drawn = torch.Generator().manual_seed(seed)
    images = (torch.rand(2, 3, size_px, size_px, generator=drawn) * 255).round() / 255
    unclamped = images + std * torch.randn(images.shape, generator=drawn)
    attacked = unclamped.clamp(0, 1)
    found = Meter(images).measure(attacked, unclamped, SnrDb(40))
    for row in range(2):
        rounded = torch.from_numpy(np.rint(attacked[row].numpy() * 255).astype(np.uint8)) / 255
        assert found.snr_db_asked[row] == 40
        for measured, noisy in (
            (found.snr_db_before_clamp, unclamped[row]),
            (found.snr_db, attacked[row]),
            (found.snr_db_uint8, rounded),
        ):
            noise = noisy - images[row]
            if noise.any():
                assert measured[row].item() == pytest.approx(ratio_db(images[row], noise), abs=1e-3)
            else:
                assert measured[row] == torch.inf


def test_units_of_std_and_another_signal_are_used_where_they_are_given() -> None:
    images, std = torch.full((1, 3, 4, 4), 0.5), torch.tensor([0.1, 0.2, 0.4]).view(1, 3, 1, 1)
    found = Meter(images, (images - 0.3) / std, std).measure(images + 0.01 * std, images + 0.01 * std, None)
    expected = ratio_db((images - 0.3) / std, torch.full_like(images, 0.01))
    assert found.snr_db.item() == pytest.approx(expected, abs=1e-3)
    assert found.snr_db_asked.isnan().all()


def test_unchanged_images_have_an_infinite_or_undefined_ratio() -> None:
    images = torch.stack([torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.5), torch.full((3, 4, 4), 0.5)])
    attacked = images.clone()
    attacked[2, 0, 0, 0] += 0.1
    found = Meter(images).measure(attacked, attacked, None)
    assert found.snr_db[0].isnan()
    assert found.snr_db[1] == torch.inf
    assert found.kept.tolist() == [True, True, False]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_strengths_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(AttackError, match=r"snr_db=.*expected a finite number of decibels"):
        SnrDb(value)
    with pytest.raises(AttackError, match=r"eps=.*expected a finite number"):
        Eps(value)


def test_a_negative_eps_is_refused() -> None:
    with pytest.raises(AttackError, match=r"eps=-0.1"):
        Eps(-0.1)
