import copy

import pytest
import torch
from torch import nn

from training.loop.moving_average import MovingAverage


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))


def weight_after(decay: float, values: list[float]) -> float:
    """The average of a weight that has these values after its steps."""
    following = network()
    average = MovingAverage(following, decay)
    for value in values:
        with torch.no_grad():
            following[0].weight.fill_(value)
        average.step()
    return average.current()[0].weight.item()


def test_a_constant_is_its_own_average_from_the_first_step_on() -> None:
    assert weight_after(0.999, [2.0]) == 2.0
    assert weight_after(0.999, [2.0] * 25) == pytest.approx(2.0)


def test_its_closed_form() -> None:
    """For weights 0, 1, 2, … it uses steps 1, 11, 21, …; d is min(decay^10, u / (u + 10))."""
    values = [float(step) for step in range(41)]
    expected = 0.0
    for updates, value in enumerate(values[::10]):
        d = min(0.8**10, updates / (updates + 10))
        expected = d * expected + (1 - d) * value
    assert weight_after(0.8, values) == pytest.approx(expected, rel=1e-6)


def test_without_decay_it_is_the_network_as_it_is() -> None:
    assert weight_after(0.0, [1.0, 5.0, 7.0]) == 7.0


def test_running_statistics_are_averaged_too_and_survive_a_resumption() -> None:
    following = network()
    average = MovingAverage(following, 0.5)
    average.step()
    following[1].running_mean.fill_(4.0)
    for _ in range(9):
        average.step()
    resumed = MovingAverage(following, 0.5)
    resumed.load_state(copy.deepcopy(average.state()))
    for one in (average, resumed):
        one.step()
        d = 0.5**10
        assert one.network[1].running_mean.item() == pytest.approx((1 - d) * 4.0)
        assert not one.network.training
