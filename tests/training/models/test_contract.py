"""What all classifiers promise, each with its own defaults; a new line in MODELS is tested without further ado."""

import pytest
import torch
from torch import nn

from pipelines.errors import SettingsError
from pipelines.settings import choose, describe
from training.models import MODELS, Normalize

MEAN, STD = (0.35, 0.32, 0.33), (0.28, 0.27, 0.28)
CLASSES = 7


def built(kind: str, size_px: int, seed: int = 0, channels: int = 3) -> nn.Sequential:
    return MODELS[kind]().build(size_px, CLASSES, MEAN[:channels], STD[:channels], seed)


@pytest.fixture(params=MODELS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("channels", [1, 3])
def test_it_takes_every_size_from_its_smallest_on(kind: str, channels: int) -> None:
    smallest = MODELS[kind].min_size_px
    for size_px in {smallest, max(smallest, 33), max(smallest, 40)}:
        logits = built(kind, size_px, channels=channels).eval()(torch.rand(2, channels, size_px, size_px))
        assert (logits.shape, logits.dtype) == ((2, CLASSES), torch.float32)
    with pytest.raises(SettingsError, match=f"data.size_px={smallest - 1}: {kind} needs at least {smallest}"):
        built(kind, smallest - 1)


def test_its_weights_follow_from_the_seed_alone(kind: str) -> None:
    size_px = max(MODELS[kind].min_size_px, 32)
    state = torch.random.get_rng_state()
    one, same, other = (list(built(kind, size_px, seed).state_dict().values()) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(*pair) for pair in zip(one, same, strict=True))
    assert not all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_it_normalizes_first_trains_all_parameters_and_is_deterministic_in_evaluation(kind: str) -> None:
    size_px = max(MODELS[kind].min_size_px, 32)
    network = built(kind, size_px)
    images = torch.rand(4, 3, size_px, size_px)
    assert isinstance(network[0], Normalize)
    network(images).logsumexp(1).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    network.eval()
    assert torch.equal(network(images), network(images))


def test_it_is_made_again_from_its_description(kind: str) -> None:
    assert choose(MODELS, describe(MODELS[kind]())) == MODELS[kind]()


def test_training_updates_its_statistics_and_evaluation_and_attacks_use_them_and_leave_them(kind: str) -> None:
    size_px = max(MODELS[kind].min_size_px, 32)
    network = built(kind, size_px)
    images = torch.rand(4, 3, size_px, size_px, generator=torch.Generator().manual_seed(0))
    before = {name: tensor.clone() for name, tensor in network.named_buffers()}
    network.train()(images)
    trained = {name: tensor.clone() for name, tensor in network.named_buffers()}
    changed = {name for name in trained if not torch.equal(trained[name], before[name])}
    assert changed == {name for name in trained if "running" in name or "num_batches" in name}
    network.eval()
    alone = network(images[2:3].requires_grad_())
    alone.sum().backward()
    torch.testing.assert_close(network(images)[2:3], alone, atol=1e-4, rtol=1e-4)
    assert all(torch.equal(tensor, trained[name]) for name, tensor in network.named_buffers())
