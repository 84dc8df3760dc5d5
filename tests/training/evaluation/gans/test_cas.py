import pytest
import torch

from training.evaluation.gans.cas import Cas
from training.evaluation.gans.images_in_memory import ImagesInMemory
from training.models.baseline_cnn import BaselineCnn

CPU = torch.device("cpu")
CAS = Cas(model=BaselineCnn(), epochs=6, lr=0.005, batch_size=32)


def brightnesses(count: int, seed: int) -> ImagesInMemory:
    """Images of 8 px as bright as their label, of four, says."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    noise = torch.randint(0, 20, (count, 3, 8, 8), generator=draw)
    return ImagesInMemory((labels[:, None, None, None] * 70 + noise).to(torch.uint8), labels, 4, "0")


def test_a_classifier_learns_from_images_whose_labels_are_true() -> None:
    train, test = brightnesses(320, 0), brightnesses(100, 1)
    found = CAS(train, test, 4, 0, CPU)
    assert found.metric == "cas"
    assert found.value == pytest.approx(1, abs=0.05)
    assert found.low is not None and found.high is not None
    assert found.low <= found.value <= found.high
    assert CAS(train, test, 4, 0, CPU) == found


def test_a_classifier_learns_the_wrong_thing_from_images_with_the_wrong_labels() -> None:
    train = brightnesses(320, 0)
    found = CAS(train._replace(labels=(train.labels + 1) % 4), brightnesses(100, 1), 4, 0, CPU)
    assert found.value == pytest.approx(0, abs=0.05)


def test_images_of_one_grey_can_be_learned_from() -> None:
    flat = ImagesInMemory(torch.full((40, 3, 8, 8), 7, dtype=torch.uint8), torch.arange(40) % 2, 2, "0")
    found = Cas(model=BaselineCnn(), epochs=1)(flat, flat, 2, 0, CPU)
    assert found.value == pytest.approx(0.5)
