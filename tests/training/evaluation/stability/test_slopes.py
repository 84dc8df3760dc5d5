"""Distances and slopes where they are known: linear classifiers, the hyperbola, a bowl."""

import numpy as np
import pytest
import torch
from attacked_networks import examples_of, grey_examples, linear, weights
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from training.attacks.deepfool import Deepfool
from training.evaluation.stability.plane import in_the_plane, plane_figure
from training.evaluation.stability.settings import Ball
from training.evaluation.stability.slopes import measure_slopes

BALL = Ball(radius_l2=0.02, points=4, steps=4)


@given(classes=st.integers(2, 9), seed=st.integers(0, 50))
def test_deepfools_distance_of_a_linear_classifier_is_that_of_the_nearest_hyperplane(classes: int, seed: int) -> None:
    """min over k of |f_k − f_0| / ‖w_k − w_0‖ (Moosavi-Dezfooli et al. 2016, equation 6), class by class."""
    network = linear(classes, seed=seed)
    examples = grey_examples(network, 3, seed=seed)
    moved = Deepfool(classes=classes, overshoot=0.0)(network, examples).images - examples.images
    w, logits = weights(network), network(examples.images).detach().double().numpy()
    for row, label in enumerate(examples.labels.tolist()):
        expected = min(
            abs(logits[row, k] - logits[row, label]) / np.linalg.norm(w[k] - w[label])
            for k in range(classes)
            if k != label
        )
        assert float(moved[row].norm()) == pytest.approx(expected, rel=1e-3, abs=3e-4)


@given(classes=st.integers(2, 6), seed=st.integers(0, 50))
def test_slopes_of_a_linear_classifier_are_differences_of_its_weights(classes: int, seed: int) -> None:
    network = linear(classes, seed=seed)
    examples = grey_examples(network, 3, seed=seed)
    found = measure_slopes(network, examples, BALL)
    w, logits = weights(network), network(examples.images).detach().double().numpy()
    for row, label in enumerate(examples.labels.tolist()):
        second = max((k for k in range(classes) if k != label), key=lambda k: logits[row, k])
        of_pairs = [float(np.linalg.norm(w[label] - w[k])) for k in range(classes) if k != label]
        assert found.margin[row].item() == pytest.approx(logits[row, label] - logits[row, second], rel=1e-3, abs=1e-4)
        assert found.slope[row].item() == pytest.approx(float(np.linalg.norm(w[label] - w[second])), rel=1e-4)
        assert found.slope[row] <= found.slope_in_ball[row] <= max(of_pairs) * 1.0001
    if classes == 2:
        torch.testing.assert_close(found.slope, found.slope_in_ball, rtol=1e-5, atol=0)
        distance = Deepfool(overshoot=0.0)(network, examples).images - examples.images
        torch.testing.assert_close(found.first_order, distance.flatten(1).norm(dim=1).double(), rtol=1e-3, atol=3e-4)


class Hyperbola(nn.Module):
    """F(x) = 1 / x of an image of one value, against a threshold: class 0 where 1 / x is above it (slides)."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        value = 1 / images.flatten(1)
        return torch.cat([value, torch.full_like(value, self.threshold)], 1)


def test_the_hyperbola_is_steep_near_the_origin() -> None:
    """|F'(x)| = 1 / x². A point below the boundary x = ½ is ½ − x from it; in first order (1 / x − 2) x²."""
    places = torch.tensor([0.1, 0.2, 0.4, 0.49])
    network, examples = Hyperbola(2.0).eval(), examples_of(places.view(4, 1, 1, 1), torch.zeros(4, dtype=torch.int64))
    found = measure_slopes(network, examples, Ball(radius_l2=0.01, points=0, steps=1))
    torch.testing.assert_close(found.slope, (1 / places**2).double(), rtol=1e-4, atol=0)
    torch.testing.assert_close(found.first_order, ((1 / places - 2) * places**2).double(), rtol=1e-4, atol=1e-6)
    moved = Deepfool(overshoot=0.0)(network, examples).images - examples.images
    torch.testing.assert_close(moved.flatten(), 0.5 - places, rtol=1e-2, atol=1e-3)
    nearby = found.first_order / (0.5 - places.double())
    assert nearby[-1] == pytest.approx(1, abs=0.03) and nearby[0] < 0.25, "first order holds near the boundary only"


class Bowl(nn.Module):
    """Margin 10 − ‖x − ½‖², of slope 2 ‖x − ½‖."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        away = (images - 0.5).flatten(1).square().sum(1, keepdim=True)
        return torch.cat([10 - away, torch.zeros_like(away)], 1)


@pytest.mark.parametrize("radius", [0.05, 0.2])
def test_the_slope_in_a_ball_is_a_lower_bound_that_descent_reaches(radius: float) -> None:
    """The largest slope in the ball around x is 2 (‖x − ½‖ + radius)."""
    images = 0.5 + 0.1 * torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    examples = examples_of(images, torch.zeros(3, dtype=torch.int64))
    largest = 2 * ((images - 0.5).flatten(1).norm(dim=1).double() + radius)
    network = Bowl().eval()
    found = measure_slopes(network, examples, Ball(radius_l2=radius, points=8, steps=8)).slope_in_ball
    assert (found <= largest * 1.0001).all()
    torch.testing.assert_close(found, largest, rtol=1e-3, atol=0)
    at_random = measure_slopes(network, examples, Ball(radius_l2=radius, points=8, steps=0))
    assert (at_random.slope_in_ball <= found).all() and (at_random.slope < at_random.slope_in_ball).any()


def test_the_random_points_depend_on_the_seed_and_not_on_the_batch() -> None:
    images = 0.5 + 0.1 * torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    examples = examples_of(images, torch.zeros(4, dtype=torch.int64))
    network, ball = Bowl().eval(), Ball(radius_l2=0.1, points=3, steps=0)
    whole = measure_slopes(network, examples, ball).slope_in_ball
    half = measure_slopes(network, examples.at(torch.tensor([1, 3])), ball).slope_in_ball
    torch.testing.assert_close(half, whole[[1, 3]], rtol=1e-6, atol=0)
    other = measure_slopes(network, examples_of(images, examples.labels, seed=1), ball).slope_in_ball
    assert not torch.equal(other, whole)


@given(
    normal=st.tuples(st.floats(0.2, 2), st.floats(0.2, 2)), share=st.floats(0.3, 0.7),
    point=st.tuples(st.floats(0.4, 0.6), st.floats(0.4, 0.6)),
)  # fmt: skip
def test_in_the_plane_deepfool_projects_orthogonally(
    normal: tuple[float, float], share: float, point: tuple[float, float]
) -> None:
    plane = in_the_plane(normal, -share * sum(normal), point)
    assert abs(plane.normal @ plane.projection + plane.offset) < 1e-9
    if (plane.projection > 0).all() and (plane.projection < 1).all():
        np.testing.assert_allclose(plane.iterate, plane.projection, atol=1e-3)
        assert np.linalg.norm(plane.iterate - plane.point) == pytest.approx(plane.distance, abs=1e-3)


def test_the_figure_shows_the_numbers() -> None:
    plane = in_the_plane()
    (axis,) = plane_figure(plane).axes
    assert f"{plane.distance:.4f}" in axis.get_title()
    assert plane.distance == pytest.approx(0.45 / 1.36**0.5)
