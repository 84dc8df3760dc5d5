"""On real copies of other data sets, in folders mnist, cifar10, tiny-imagenet-200-mini and face-mask-mini of the folder
that ROADSIGN_REAL_DATA names."""

import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets.cifar10 import Cifar10
from pipelines.datasets.contract import Containers, ImageSource
from pipelines.datasets.decoding import decode
from pipelines.datasets.image_folder import ImageFolder
from pipelines.datasets.mnist import Mnist
from pipelines.datasets.tiny_imagenet_200 import TinyImagenet200

pytestmark = pytest.mark.real


def folder(name: str) -> Path:
    named = os.environ.get("ROADSIGN_REAL_DATA")
    if not named:
        pytest.skip("ROADSIGN_REAL_DATA is not set")
    if not (Path(named) / name).is_dir():
        pytest.skip(f"{named} has no {name}")
    return Path(named) / name


@pytest.mark.parametrize(
    ("source", "mean", "std", "per_class"),
    [
        (Mnist, [0.1307], [0.3081], [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
        (Cifar10, [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616], [5000] * 10),
    ],
)
def test_training_images_have_the_known_statistics(
    source: type[ImageSource], mean: list[float], std: list[float], per_class: list[int]
) -> None:
    """The well-known channel means and standard deviations, and MNIST's published class counts."""
    made = source(root=folder(source.model_fields["kind"].default))
    assert source.recognize(made.root)
    listing = made.listing()
    assert listing.remarks == [] and listing.rejected == []
    training = [image for image in listing.images if image.split == "train"]
    assert [Counter(image.label for image in training)[label] for label in range(10)] == per_class
    with Containers(made) as containers:
        pixels = np.stack([containers.read(image.location) for image in training])
    assert [channel.mean() / 255 for channel in np.moveaxis(pixels, -1, 0)] == pytest.approx(mean, abs=6e-5)
    assert [channel.std() / 255 for channel in np.moveaxis(pixels, -1, 0)] == pytest.approx(std, abs=6e-5)


def test_a_part_of_tiny_imagenet_is_listed_and_decoded() -> None:
    listing = TinyImagenet200(root=folder("tiny-imagenet-200-mini")).listing()
    counts = Counter((image.label, image.split) for image in listing.images)
    assert counts == {(label, split): count for label in range(20) for split, count in (("train", 60), ("test", 20))}
    assert listing.card.class_names[:3] == ("goldfish", "European fire salamander", "bullfrog")
    assert listing.rejected == []
    for image in listing.images[::20]:
        assert decode(Path(image.path).read_bytes()).shape == (64, 64, 3)


def test_a_face_with_and_without_a_mask_is_in_one_split() -> None:
    source = ImageFolder(
        root=folder("face-mask-mini"), group_pattern=r"^(?P<group>\d+|augmented_image_\d+)", hflip="all"
    )
    listing = source.listing()
    assert listing.card.class_names == ("with_mask", "without_mask") and listing.card.hflip == {0: 0, 1: 1}
    sides, labels = defaultdict(set), defaultdict(set)
    for image in listing.images:
        sides[image.group].add(image.split)
        labels[image.group].add(image.label)
        assert decode(Path(image.path).read_bytes()).ndim == 3
    assert len(listing.images) == 320 and sum(len(found) == 2 for found in labels.values()) >= 40
    assert all(len(found) == 1 for found in sides.values())
    assert 0.15 < listing.counts["test"] / 320 < 0.3
