import math

import numpy as np
import pytest
import torch
from attacked_networks import discs, small_cnn
from hypothesis import given
from hypothesis import strategies as st
from saliency_twins import entropy
from torch import nn

from training.evaluation.units.ablation import counted, drawn, predicted_without
from training.evaluation.units.load import Load, measure_load


def test_the_load_is_the_sum_of_the_activations() -> None:
    images, _ = discs(9, seed=4)
    network = small_cnn()
    found = measure_load(network, [images[:4], images[4:]])
    assert list(found) == ["2", "5"]
    with torch.no_grad():
        first, second = network[:3](images), network[:6](images)
    for layer, output in (("2", first), ("5", second)):
        expected = [float(output[:, unit].double().sum()) for unit in range(output.shape[1])]
        np.testing.assert_allclose(found[layer].mass, expected, rtol=1e-6)


def test_a_layer_that_is_used_twice_has_two_loads() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            once: torch.Tensor = self.relu(images.mean((2, 3)))
            twice: torch.Tensor = self.relu(once - 0.5)
            return twice

    images = torch.rand(4, 3, 2, 2)
    found = measure_load(Twice(), [images[:2], images[2:]])
    assert list(found) == ["relu", "relu#2"]
    np.testing.assert_allclose(found["relu"].mass, images.mean((2, 3)).double().sum(0), rtol=1e-6)


@given(st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=2, max_size=30))
def test_entropy_is_between_one_unit_and_all_alike(masses: list[float]) -> None:
    load = Load(np.array(masses))
    assert load.dead == masses.count(0.0)
    if not any(masses):
        assert math.isnan(load.entropy)
        return
    assert load.entropy == pytest.approx(entropy(masses), abs=1e-9)
    assert -1e-9 <= load.entropy <= 1 + 1e-9
    assert Load(np.ones(len(masses))).entropy == pytest.approx(1)
    alone = np.zeros(len(masses))
    alone[0] = 3
    assert Load(alone).entropy == 0


def test_units_left_out_are_as_if_they_had_no_weights_behind_them() -> None:
    images, _ = discs(40, seed=4)
    network, units = small_cnn(), np.array([1, 5, 6])
    found = predicted_without(network, [images[:30], images[30:]], "5", units)
    with torch.no_grad():
        hidden = network[:6](images)
        for unit in units:
            hidden[:, unit] = 0
        expected = network[6:](hidden).argmax(1)
    assert found.tolist() == expected.tolist()
    everything = predicted_without(network, [images], "2", np.arange(8))
    with torch.no_grad():
        assert set(everything.tolist()) == {int(network[3:](torch.zeros(1, 8, 16, 16)).argmax())}
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())


def test_the_heaviest_and_the_drawn_units() -> None:
    load = Load(np.array([1.0, 3.0, 0.0, 3.0, 2.0]))
    assert load.heaviest(3).tolist() == [1, 3, 4]
    assert [counted(load, share) for share in (0.01, 0.4, 0.99)] == [1, 2, 5]
    first = drawn(load, 3, 0, "a", 0)
    assert len(set(first.tolist())) == 3
    assert first.tolist() == drawn(load, 3, 0, "a", 0).tolist()
    assert any(first.tolist() != drawn(load, 3, seed, "a", draw).tolist() for seed in (0, 1) for draw in (1, 2))
