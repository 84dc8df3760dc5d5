import dataclasses

import numpy as np
import pytest
import torch
from attacked_networks import accuracy, disc_examples, examples_of, grey_examples, linear, small_cnn, weights
from torch import nn

from training.attacks.deepfool import Deepfool
from training.attacks.labelled_images import Draws, LabelledImages
from training.attacks.one_pixel import OnePixel, _children


def near_the_boundary(count: int, way: float = 0.9) -> LabelledImages:
    """Discs moved part of the way to their DeepFool images."""
    examples = disc_examples(count)
    further = Deepfool()(small_cnn(), examples).images
    return dataclasses.replace(examples, images=torch.lerp(examples.images, further, way))


@pytest.mark.parametrize("pixels", [1, 3])
def test_at_most_so_many_pixels_are_changed(pixels: int) -> None:
    examples = near_the_boundary(20)
    found = OnePixel(pixels=pixels, population=40, generations=10)(small_cnn(), examples)
    changed = (found.images != examples.images).any(1).flatten(1).sum(1)
    fooled = small_cnn()(found.images).argmax(1) != examples.labels
    assert fooled.any()
    assert changed.max() <= pixels
    assert torch.equal(changed > 0, fooled)


def test_on_a_linear_network_it_finds_a_pixel_where_there_is_one() -> None:
    """The best colour of each pixel of a linear network is a corner of the colour cube: all pixels are looked at."""
    network = linear(2)
    examples = grey_examples(network, 60, spread=0.6)
    found = OnePixel(population=200, generations=40)(network, examples)
    fooled = (network(found.images).argmax(1) != examples.labels).numpy()
    way = (weights(network)[1 - examples.labels] - weights(network)[examples.labels]).reshape(-1, 3, 36)
    images = examples.images.double().numpy().reshape(-1, 3, 36)
    gain = np.maximum(way * (1 - images), -way * images).sum(1).max(1)
    logits = network(examples.images).detach().double().numpy()
    lead = np.abs(logits[:, 0] - logits[:, 1])
    assert 5 <= (gain > lead).sum() <= 55
    assert not (fooled & (gain < lead - 1e-4)).any()
    assert fooled[gain > 1.05 * lead].all()


def test_more_pixels_fool_more_images() -> None:
    examples = near_the_boundary(30, way=0.7)
    accuracies = [
        accuracy(
            small_cnn(),
            OnePixel(pixels=pixels, population=60, generations=8)(small_cnn(), examples).images,
            examples.labels,
        )
        for pixels in (1, 3, 8)
    ]
    assert accuracies[0] > accuracies[1] > accuracies[2]


def test_images_per_pass_change_last_bits_at_most() -> None:
    examples = near_the_boundary(8)
    results = [
        OnePixel(population=32, generations=4, images_per_pass=images_per_pass)(small_cnn(), examples).images
        for images_per_pass in (16, 1024)
    ]
    torch.testing.assert_close(results[0], results[1], atol=1e-6, rtol=0)


def test_children_are_made_of_three_different_ones_and_stay_inside() -> None:
    """The parents are so far apart that each child reveals its three parents."""
    examples = examples_of(torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64))
    parents = torch.tensor([0.0, 0.001, 0.01, 0.1, 1.0]).view(1, 5, 1, 1).expand(2, 5, 1, 5)
    draws, seen = Draws.of(examples, "one_pixel"), set()
    values = parents[0, :, 0, 0].double().tolist()
    possible = {
        1 - abs(1 - abs(a + 0.5 * (b - c)))
        for i, a in enumerate(values)
        for j, b in enumerate(values)
        for k, c in enumerate(values)
        if len({i, j, k}) == 3
    }
    for _ in range(200):
        children = _children(parents, draws)
        assert children.min() >= 0 and children.max() <= 1
        seen |= {round(value, 5) for value in children[:, :, 0, 0].flatten().double().tolist()}
    assert seen == {round(value, 5) for value in possible}


class Counted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = small_cnn()
        self.images = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.images += len(images)
        logits: torch.Tensor = self.network(images)
        return logits


def test_it_gives_up_only_on_hopeless_images() -> None:
    hopeless, hopeful = disc_examples(5), near_the_boundary(20, way=0.7)
    looked_at = {}
    for examples, about in ((hopeless, "hopeless"), (hopeful, "hopeful")):
        fooled = []
        for give_up in (0.0, 0.05):
            network = Counted().eval()
            attack = OnePixel(population=60, generations=20, give_up=give_up)
            fooled.append(~attack(network, examples).kept)
            looked_at[about, give_up] = network.images
        assert torch.equal(fooled[0], fooled[1])
    assert looked_at["hopeless", 0.0] == 5 + 21 * 60 * 5
    assert looked_at["hopeless", 0.05] < looked_at["hopeless", 0.0] / 3
