import pytest
import torch
from gan_twins import slow_augmented

from training.gans.diff_augment import DRAWS, DiffAugment


def images(count: int = 6, size_px: int = 9, channels: int = 3) -> torch.Tensor:
    return torch.rand(count, channels, size_px, size_px, generator=torch.Generator().manual_seed(0)) * 2 - 1


def draws(count: int = 6, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, DRAWS, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "augment",
    [
        DiffAugment(),
        DiffAugment(color=False, cutout=0),
        DiffAugment(color=False, translation=0),
        DiffAugment(translation=0, cutout=0),
        DiffAugment(translation=0.5, cutout=0.3),
    ],
    ids=["all", "translation", "cutout", "color", "others"],
)
@pytest.mark.parametrize(("size_px", "channels"), [(9, 3), (8, 1)])
def test_it_is_what_a_slow_twin_finds_pixel_by_pixel(augment: DiffAugment, size_px: int, channels: int) -> None:
    given = images(size_px=size_px, channels=channels)
    expected = slow_augmented(given, draws(), augment.color, augment.translation, augment.cutout)
    found = augment(given, draws())
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, augment(given, draws(seed=2)))


def test_the_gradient_passes_through_it() -> None:
    """It is affine in an image, so a difference of two results is what its gradient says."""
    augment, step = DiffAugment(), images(count=2) - 0.3
    given = images(count=2).requires_grad_()
    weights = torch.rand(given.shape, generator=torch.Generator().manual_seed(3))
    before = (augment(given, draws(2)) * weights).sum()
    (gradient,) = torch.autograd.grad(before, given)
    after = (augment(given.detach() + step, draws(2)) * weights).sum()
    torch.testing.assert_close((gradient * step).sum(), after - before.detach(), rtol=1e-3, atol=1e-3)


def test_every_shift_and_every_place_of_the_hole_occur() -> None:
    count = 4000
    bright = torch.zeros(count, 1, 8, 8)
    bright[:, :, 4, 4] = 1
    moved = DiffAugment(color=False, translation=0.125, cutout=0)(bright, draws(count)).sum(0)[0]
    assert sorted(map(tuple, moved.nonzero().tolist())) == [(row, column) for row in (3, 4, 5) for column in (3, 4, 5)]
    assert moved.max() / moved[moved > 0].min() < 1.5
    holes = 1 - DiffAugment(color=False, translation=0, cutout=0.25)(torch.ones(count, 1, 8, 8), draws(count))
    assert sorted(set(holes.sum((1, 2, 3)).tolist())) == [1, 2, 4]  # a quarter of the side, at a corner, at a border
    assert (holes.mean(0) > 0).all()
