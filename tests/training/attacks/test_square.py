import numpy as np
import pytest
import torch
import torchattacks
from attacked_networks import accuracy, disc_examples, examples_of, small_cnn
from hypothesis import given
from hypothesis import strategies as st

from training.attacks import Eps
from training.attacks.balls import Norm, norms
from training.attacks.labelled_images import Draws
from training.attacks.square import Square
from training.attacks.square_proposals import NUMBERS, SQUARES, tile

GREY = torch.full((4, 3, 20, 20), 0.5)
EPS = torch.tensor([0.01, 0.02, 0.03, 0.04])


def draws() -> Draws:
    return Draws.of(examples_of(GREY, torch.zeros(4, dtype=torch.int64)), "square")


def test_in_linf_it_starts_with_vertical_stripes_in_the_balls_corners() -> None:
    first = SQUARES["linf"].first(GREY, EPS, draws()) - GREY
    torch.testing.assert_close(first.abs(), EPS[:, None, None, None].expand_as(first), atol=1e-6, rtol=0)
    assert torch.equal(first, first[:, :, :1].expand_as(first))
    assert 0 < (first > 0).double().mean() < 1


@given(fraction=st.floats(1e-3, 1), seed=st.integers(0, 99))
def test_in_linf_a_query_changes_one_square_to_one_corner_colour(fraction: float, seed: int) -> None:
    drawn = torch.rand(4, NUMBERS, generator=torch.Generator().manual_seed(seed))
    change = SQUARES["linf"].moved(GREY, GREY, EPS, fraction, drawn) - GREY
    side_px = max(1, round(fraction**0.5 * 20))
    for image, eps in zip(change.numpy(), EPS.tolist(), strict=True):
        changed = image.any(0)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert changed.sum() == side_px**2 == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        colours = image[:, changed]
        np.testing.assert_allclose(np.abs(colours), eps, atol=1e-6)
        assert (colours == colours[:, :1]).all()


@pytest.mark.parametrize("side_px", [1, 3, 7, 12])
def test_a_tile_is_a_hill_and_its_negative_of_length_1(side_px: int) -> None:
    found = tile(side_px)
    assert found.square().sum().item() == pytest.approx(1)
    upper = side_px // 2
    assert (found[:upper] > 0).all() and (found[upper:] < 0).all()
    if upper:  # equation 2, term by term
        distance = max(abs(0 - upper // 2), abs(1 - side_px // 2)), max(abs(upper // 2 - upper // 2), 0)
        most = max(upper, side_px) // 2
        values = [sum(1 / j**2 for j in range(d + 1, most + 2)) for d in distance]
        ratio = found[0, 1] / found[upper // 2, side_px // 2]
        assert ratio.item() == pytest.approx(values[0] / values[1], rel=1e-5)


@given(fraction=st.floats(1e-3, 0.8), seed=st.integers(0, 99))
def test_in_l2_every_point_uses_the_whole_radius(fraction: float, seed: int) -> None:
    drawn = torch.rand(4, NUMBERS, generator=torch.Generator().manual_seed(seed))
    points = SQUARES["l2"].first(GREY, EPS, draws())
    torch.testing.assert_close(norms(points - GREY, "l2"), EPS, atol=1e-5, rtol=1e-3)
    moved = SQUARES["l2"].moved(points, GREY, EPS, fraction, drawn)
    assert (moved != points).flatten(1).any(1).all()
    torch.testing.assert_close(norms(moved - GREY, "l2"), EPS, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.045), ("l2", 1.5)])
def test_it_fools_no_fewer_than_torchattacks(norm: Norm, eps: float) -> None:
    examples = disc_examples(100)
    (found,) = Square(norm=norm, queries=300)(small_cnn(), examples, [Eps(eps)])
    ours = accuracy(small_cnn(), found.images, examples.labels)
    name = {"linf": "Linf", "l2": "L2"}[norm]
    attack = torchattacks.Square(small_cnn(), norm=name, eps=eps, n_queries=300, n_restarts=1, seed=0)
    theirs = accuracy(small_cnn(), attack(examples.images, examples.labels), examples.labels)
    assert 0.05 < ours < 0.95
    assert ours <= theirs + 0.1


def test_squares_shrink_at_the_papers_queries() -> None:
    square = Square(queries=10_000, first_fraction=0.8)
    assert [square._fraction(query) for query in (10, 11, 51, 8001)] == [0.8, 0.4, 0.2, 0.8 / 2**9]
    assert Square(queries=1000)._fraction(801) == 0.8 / 2**9
