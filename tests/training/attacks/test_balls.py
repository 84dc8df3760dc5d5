import numpy as np
import pytest
import torch
from attacked_networks import examples_of
from hypothesis import given
from hypothesis import strategies as st

from training.attacks.balls import Norm, norms, project, scatter_inside, steepest
from training.attacks.labelled_images import Draws

NORMS: tuple[Norm, ...] = ("linf", "l2")


def drawn(seed: int, count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("norm", "order"), [("linf", np.inf), ("l2", 2)])
def test_norms_are_numpys(norm: Norm, order: float) -> None:
    values = drawn(0)
    expected = np.linalg.norm(values.double().numpy().reshape(3, -1), ord=order, axis=1)
    torch.testing.assert_close(norms(values, norm).double(), torch.from_numpy(expected), atol=1e-6, rtol=1e-6)


@given(norm=st.sampled_from(NORMS), seed=st.integers(0, 99), eps=st.floats(0, 2), reach=st.floats(0, 3))
def test_a_projection_is_inside_and_leaves_what_was_inside(norm: Norm, seed: int, eps: float, reach: float) -> None:
    centres, radius = drawn(seed), torch.full((3,), eps)
    points = centres + reach * (drawn(seed + 100) - 0.5)
    found = project(points, centres, radius, norm)
    assert found.min() >= 0 and found.max() <= 1
    assert (norms(found - centres, norm) <= eps * (1 + 1e-5) + 1e-6).all()
    torch.testing.assert_close(project(found, centres, radius, norm), found)
    assert torch.equal(project(points, centres, torch.zeros(3), norm), centres)


@pytest.mark.parametrize("scale", [1.0, 1e-30])
def test_the_steepest_direction_of_l2_has_length_1_even_where_gradients_are_tiny(scale: float) -> None:
    found = steepest(scale * drawn(1), "l2")
    torch.testing.assert_close(norms(found, "l2"), torch.ones(3))
    torch.testing.assert_close(found, drawn(1) / norms(drawn(1), "l2")[:, None, None, None])


@pytest.mark.parametrize("norm", NORMS)
def test_no_gradient_has_no_steepest_direction(norm: Norm) -> None:
    assert not steepest(torch.zeros(2, 3, 4, 4), norm).any()


@pytest.mark.parametrize("norm", NORMS)
def test_starting_points_fill_the_ball_uniformly(norm: Norm) -> None:
    """The share of points within r of the centre is (r / eps)^D; D = 12 here."""
    centres = torch.full((4000, 3, 2, 2), 0.5)
    draws = Draws.of(examples_of(centres, torch.zeros(4000, dtype=torch.int64)), "start")
    distances = norms(scatter_inside(centres, torch.full((4000,), 0.1), norm, draws) - centres, norm)
    for share in (0.1, 0.5, 0.9):
        assert (distances < 0.1 * share ** (1 / 12)).double().mean().item() == pytest.approx(share, abs=0.03)
