import pytest
import torch
from pydantic import ValidationError
from torch import nn

from training.models import Normalize
from training.models.baseline_cnn import BaselineCnn

MEAN, STD = (0.35, 0.32, 0.33), (0.28, 0.27, 0.28)


def build(model: BaselineCnn, size_px: int = 40, seed: int = 0) -> nn.Sequential:
    return model.build(size_px, 43, MEAN, STD, seed)


def test_baseline_cnn_has_the_parameters_of_the_papers_figure_8() -> None:
    layers = [layer for layer in build(BaselineCnn()).modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert [sum(parameter.numel() for parameter in layer.parameters()) for layer in layers] == [
        448,
        4_640,
        18_496,
        204_928,
        5_547,
    ]
    assert sum(parameter.numel() for parameter in build(BaselineCnn()).parameters()) == 234_059


@pytest.mark.parametrize(("size_px", "side"), [(28, 3), (40, 5), (50, 6), (75, 9)])
def test_baseline_cnn_takes_every_size(size_px: int, side: int) -> None:
    network = build(BaselineCnn(), size_px)
    assert network(torch.rand(2, 3, size_px, size_px)).shape == (2, 43)
    assert sum(parameter.numel() for parameter in network.parameters()) == 234_059 + (side**2 - 25) * 64 * 128


@pytest.mark.parametrize("initialization", ["keras", "torch"])
def test_weights_follow_from_the_seed_and_leave_the_global_generator_alone(initialization: str) -> None:
    model = BaselineCnn.model_validate({"initialization": initialization})
    state = torch.random.get_rng_state()
    weights = [build(model, seed=seed).state_dict() for seed in (0, 0, 1)]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(weights[0]["1.0.weight"], weights[2]["1.0.weight"])


def test_keras_initialization_is_glorot_uniform_with_zero_biases() -> None:
    network = build(BaselineCnn(initialization="keras"))
    dense = next(layer for layer in network.modules() if isinstance(layer, nn.Linear))
    limit = (6 / (1600 + 128)) ** 0.5
    assert dense.weight.abs().max().item() == pytest.approx(limit, rel=1e-3)
    assert dense.weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.01)
    assert all(not layer.bias.any() for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear))


def test_normalization_is_the_first_layer_and_is_not_trained() -> None:
    network = build(BaselineCnn())
    images = torch.rand(4, 3, 40, 40)
    expected = torch.stack([(images[:, c] - MEAN[c]) / STD[c] for c in range(3)], dim=1)
    assert isinstance(network[0], Normalize)
    torch.testing.assert_close(network[0](images), expected)
    assert list(network[0].parameters()) == []
    assert {"0.mean", "0.std"} < network.state_dict().keys()
    torch.testing.assert_close(build(BaselineCnn(normalization="none"))[0](images), images)


def test_dropout_acts_in_training_alone() -> None:
    network = build(BaselineCnn(dropout=0.5))
    images = torch.rand(2, 3, 40, 40)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="dropout"):
        BaselineCnn(dropout=1.0)
    with pytest.raises(ValidationError, match="layers_count"):
        BaselineCnn.model_validate({"layers_count": 3})


def test_without_normalization_a_networks_state_can_still_take_another_ones_mean_and_std() -> None:
    """Its buffers are floats, so that what is loaded into them is not cut to whole numbers."""
    network = build(BaselineCnn(normalization="none"))
    network.load_state_dict(build(BaselineCnn()).state_dict())
    first = network[0]
    assert isinstance(first, Normalize)
    torch.testing.assert_close(first.std.flatten(), torch.tensor(STD))
