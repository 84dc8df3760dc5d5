"""σ on graphs that can be counted by hand, against a plain twin, and as the difference of classes."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from pydantic import ValidationError
from smoothness_twin import plain_smoothness
from torch import nn
from torch.nn.functional import one_hot

from pipelines.errors import SettingsError
from training.models.baseline_cnn import BaselineCnn
from training.models.resnet18 import Resnet18
from training.regularizers import Smoothness
from training.regularizers.smoothness import label_smoothness

ALL = torch.ones(3, dtype=torch.bool)


def sigma(features: list[list[float]], labels: list[int], power: int) -> float:
    signal = one_hot(torch.tensor(labels), 3).float()
    return float(label_smoothness(torch.tensor(features), signal, power))


def test_three_nodes_of_which_two_are_alike() -> None:
    """Edges: a–b 1, none to c. Only edges between classes count, twice each: once for each class."""
    features = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]
    assert sigma(features, [0, 0, 1], 1) == pytest.approx(0)
    assert sigma(features, [0, 1, 1], 1) == pytest.approx(2)
    # L² of one edge is 2 L
    assert sigma(features, [0, 1, 1], 2) == pytest.approx(4)
    assert sigma(features, [0, 1, 1], 3) == pytest.approx(8)


def test_three_nodes_that_are_all_alike() -> None:
    """L = 3 I − 1 on the complete graph, and L² = 3 L: three classes give the trace."""
    features = [[1.0, 1.0]] * 3
    assert sigma(features, [0, 1, 2], 1) == pytest.approx(6)
    assert sigma(features, [0, 1, 2], 2) == pytest.approx(18)
    assert sigma(features, [0, 0, 1], 1) == pytest.approx(4)


def test_one_class_is_perfectly_smooth_and_zeros_are_similar_to_nothing() -> None:
    assert sigma([[1.0, 0.3], [0.2, 1.0], [1.0, 1.0]], [1, 1, 1], 2) == pytest.approx(0, abs=1e-5)
    assert sigma([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]], [0, 1, 2], 1) == pytest.approx(0)


@settings(max_examples=30)
@given(st.integers(0, 99), st.integers(1, 3), st.integers(2, 9))
def test_it_is_the_plain_twin(seed: int, power: int, count: int) -> None:
    random = np.random.default_rng(seed)
    layers = [np.maximum(random.normal(size=(count, width)), 0) for width in (7, 4, 5)]
    labels = random.integers(3, size=count)
    features = {str(number): torch.from_numpy(layer) for number, layer in enumerate(layers)}
    found = Smoothness(gamma=0.1, power=power)(
        features, torch.from_numpy(labels), torch.ones(count, dtype=torch.bool), 3
    )
    penalty, sigmas = plain_smoothness(layers, labels, 0.1, power)
    np.testing.assert_allclose(float(found.penalty), penalty, rtol=2e-4, atol=1e-4)
    np.testing.assert_allclose([float(one) for one in found.sigmas.values()], sigmas, rtol=2e-4, atol=1e-4)


def test_images_that_the_objective_made_and_padding_count_only_if_asked() -> None:
    random = torch.Generator().manual_seed(0)
    given_images, made = torch.rand(2, 3, 4, generator=random)
    features = {"one": torch.cat([given_images, made]), "two": torch.cat([made, given_images])}
    labels, valid = torch.tensor([0, 1, 2]), torch.tensor([True, True, False])
    own = Smoothness(images="given")(features, labels, valid, 3)
    torch.testing.assert_close(own.sigmas["one"], label_smoothness(given_images[:2], torch.eye(3)[:2], 2))
    every = Smoothness(images="all")(features, labels, ALL, 3)
    both = label_smoothness(torch.cat([given_images, made]), torch.eye(3).repeat(2, 1), 2)
    torch.testing.assert_close(every.sigmas["one"], both)


def test_its_gradient_makes_it_smaller() -> None:
    one = torch.rand(8, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    other = torch.rand(8, 5, generator=torch.Generator().manual_seed(2))
    labels, valid = torch.arange(8) % 3, torch.ones(8, dtype=torch.bool)
    smoothness = Smoothness(gamma=0.5, power=1)
    before = smoothness({"one": one, "other": other}, labels, valid, 3).penalty
    before.backward()
    assert one.grad is not None
    after = smoothness({"one": one - 0.05 * one.grad, "other": other}, labels, valid, 3).penalty
    assert after < before


def test_the_layers_are_the_relus_or_those_that_are_named() -> None:
    network = BaselineCnn().build(16, 5, (0.4,) * 3, (0.3,) * 3, 0)
    assert list(Smoothness().layers_of(network)) == ["1.1", "1.4", "1.7", "1.11"]
    assert list(Smoothness(layers=("1.4", "1.11")).layers_of(network)) == ["1.4", "1.11"]
    resnet = Resnet18().build(16, 5, (0.4,) * 3, (0.3,) * 3, 0)
    assert len(Smoothness().layers_of(resnet)) == 9
    with pytest.raises(SettingsError, match=r"has no \['fc9'\]; its ReLUs are"):
        Smoothness(layers=("1.1", "fc9")).layers_of(network)
    with pytest.raises(SettingsError, match="compares consecutive layers, found"):
        Smoothness().layers_of(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))


@pytest.mark.parametrize("fields", [{"gamma": 0.0}, {"gamma": 1.5}, {"power": 0}, {"power": 9}, {"images": "none"}])
def test_values_out_of_range_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Smoothness(**fields)  # type: ignore[arg-type]
