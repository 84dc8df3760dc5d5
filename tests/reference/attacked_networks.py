"""Networks and images for tests of attacks: linear networks with closed forms, and a small convolutional one."""

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.attacks import LabelledImages
from training.models import Normalize

SIZE_PX = 16
CLASSES = 5
COLOURS = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.1, 0.2, 0.9], [0.9, 0.8, 0.1], [0.6, 0.1, 0.7]])
MEAN, STD = (0.4, 0.45, 0.5), (0.2, 0.25, 0.3)


def linear(classes: int, size_px: int = 6, seed: int = 0, scale: float = 1.0) -> nn.Sequential:
    """Flatten and one dense layer, with equal logits for a mid-grey image."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * size_px**2, classes))
    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        network[1].weight.normal_(0, scale, generator=drawn)
        network[1].bias.copy_(-0.5 * network[1].weight.sum(1))
    return network.eval()


def weights(network: nn.Sequential) -> NDArray[np.float64]:
    """The weights (classes, D) of a linear network."""
    return network[1].weight.detach().double().numpy()


def grey_examples(
    network: nn.Module, count: int, size_px: int = 6, seed: int = 0, spread: float = 0.2
) -> LabelledImages:
    """Images around mid-grey, far from 0 and 1, labelled as the network predicts them."""
    drawn = torch.Generator().manual_seed(seed)
    images = 0.5 + spread * (torch.rand(count, 3, size_px, size_px, generator=drawn) - 0.5)
    return examples_of(images, network(images).argmax(1))


def examples_of(images: torch.Tensor, labels: torch.Tensor, seed: int = 0) -> LabelledImages:
    return LabelledImages(images, labels, [f"image-{number}" for number in range(len(images))], seed)


def in_float64(examples: LabelledImages) -> LabelledImages:
    return LabelledImages(examples.images.double(), examples.labels, examples.image_ids, examples.seed)


def discs(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A disc somewhere on a noisy grey ground; its colour is the class."""
    drawn = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count,), generator=drawn)
    centres = 5 + 6 * torch.rand(count, 2, 1, 1, generator=drawn)
    axis = torch.arange(SIZE_PX) + 0.5
    inside = (axis[:, None] - centres[:, 0]) ** 2 + (axis[None, :] - centres[:, 1]) ** 2 < 14
    ground = 0.2 + 0.6 * torch.rand(count, 1, 1, 1, generator=drawn)
    colours = (COLOURS[labels][:, :, None, None] + ground) / 2
    images = torch.where(inside[:, None], colours, ground)
    images = images + 0.1 * torch.randn(images.shape, generator=drawn)
    return images.clamp(0, 1), labels


@functools.cache
def small_cnn() -> nn.Sequential:
    """Trained on discs for about a second."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU()]
        network = nn.Sequential(Normalize(MEAN, STD), *layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, CLASSES))
    images, labels = discs(1024, seed=1)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for step in range(160):
        rows = torch.arange(step * 64, step * 64 + 64) % len(images)
        loss = nn.functional.cross_entropy(network(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    return network.eval()


def disc_examples(count: int, seed: int = 2) -> LabelledImages:
    """Discs that the small network predicts correctly."""
    images, labels = discs(2 * count, seed)
    right = small_cnn()(images).argmax(1) == labels
    assert right.sum() >= count
    return examples_of(images[right][:count], labels[right][:count])


def accuracy(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    with torch.no_grad():
        return (network(images).argmax(1) == labels).double().mean().item()
