"""The cards of data sets, and the recognition of a folder by its files."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torchvision.datasets
from published_formats import (
    write_cifar10,
    write_cifar100,
    write_image_folder,
    write_mnist,
    write_svhn,
    write_tiny_imagenet,
)
from pydantic import ValidationError

from pipelines.datasets.card import DatasetCard
from pipelines.datasets.cifar10 import Cifar10
from pipelines.datasets.cifar100 import Cifar100
from pipelines.datasets.contract import ImageSource
from pipelines.datasets.fashion_mnist import FashionMnist
from pipelines.datasets.gtsrb import Gtsrb
from pipelines.datasets.gtsrb_card import GTSRB_CARD, SYNTHETIC_SIGNS_CARD
from pipelines.datasets.image_folder import ImageFolder
from pipelines.datasets.mnist import Mnist
from pipelines.datasets.recognition import recognize
from pipelines.datasets.svhn import Svhn
from pipelines.datasets.synthetic_signs import SyntheticSigns
from pipelines.datasets.tiny_imagenet_200 import TinyImagenet200
from pipelines.errors import SourceError

SOURCES: dict[str, type[ImageSource]] = {
    "mnist": Mnist, "fashion_mnist": FashionMnist, "cifar10": Cifar10, "cifar100": Cifar100, "svhn": Svhn,
    "tiny_imagenet_200": TinyImagenet200, "image_folder": ImageFolder,
}  # fmt: skip
CARD: dict[str, Any] = {
    "name": "signs", "class_names": ("left", "right", "up"), "channels": 3, "group": "each image", "licence": "x",
    "citation": "y",
}  # fmt: skip


def write(root: Path) -> dict[str, Path]:
    """Writes a small copy of each data set."""
    write_mnist(root / "mnist", {"train": [1], "t10k": [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]})
    write_mnist(root / "fashion_mnist", {"train": [1], "t10k": [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]})
    write_cifar10(root / "cifar10")
    write_cifar100(root / "cifar100" / "cifar-100-python")
    write_svhn(root / "svhn", {"train": [1, 2], "test": [3]})
    write_tiny_imagenet(root / "tiny_imagenet_200")
    write_image_folder(root / "image_folder", "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    return {kind: root / kind for kind in SOURCES}


def test_each_data_set_is_recognized_by_its_files_and_listed(tmp_path: Path) -> None:
    for kind, root in write(tmp_path).items():
        found = recognize(root, SOURCES)
        assert found.kind == kind and found.evidence
        source: Any = SOURCES[kind](root=root)
        card = source.listing().card
        assert card.name == source.dataset_name == kind
        assert (card.channels == 1) == ("mnist" in kind)
        assert DatasetCard.model_validate_json(card.model_dump_json()) == card


@pytest.mark.parametrize("kind", SOURCES)
def test_menu_key_file_and_class_have_one_name(kind: str, repository: Path) -> None:
    assert (repository / "pipelines" / "datasets" / f"{kind}.py").is_file()
    assert SOURCES[kind].__name__ == "".join(word.capitalize() for word in kind.split("_"))
    assert SOURCES[kind].model_fields["kind"].default == kind


def test_the_contents_of_an_unrecognized_folder_are_described(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"file-{number}").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        SourceError, match=r"contains 1 folder \(empty\) and 9 files \(file-0, .*file-7, …\), which none of"
    ):
        recognize(tmp_path, SOURCES)
    (tmp_path / "cats.zip").write_bytes(b"")
    with pytest.raises(SourceError, match=r"dataset\.root; unpack cats\.zip$"):
        recognize(tmp_path, SOURCES)
    with pytest.raises(SourceError, match=r"no such folder; check dataset\.root"):
        recognize(tmp_path / "nowhere", SOURCES)


def test_a_folder_with_two_data_sets_is_refused_and_both_are_named(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    write_svhn(tmp_path, {"train": [1], "test": [3]})
    with pytest.raises(SourceError, match=r"looks like cifar10 \(.*\); svhn \(.*\); set dataset.kind to one of them"):
        recognize(tmp_path, SOURCES)


def test_damaged_files_are_not_recognized(tmp_path: Path) -> None:
    write_mnist(tmp_path, {"train": [1], "t10k": [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]})
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8bx")
    assert Mnist.recognize(tmp_path) is None


def test_gtsrb_and_drawn_signs_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "GTSRB" / "Final_Training").mkdir(parents=True)
    assert Gtsrb.recognize(tmp_path) == Gtsrb.recognize(tmp_path / "GTSRB") == "GTSRB's Final_Training"
    assert SyntheticSigns.recognize(tmp_path / "GTSRB") is None
    (tmp_path / "GTSRB" / "synthetic_signs.json").write_bytes(b"")
    assert Gtsrb.recognize(tmp_path / "GTSRB") is None
    assert SyntheticSigns.recognize(tmp_path / "GTSRB") == "synthetic_signs.json"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"class_names": ("one",)}, "at least 2"),
        ({"class_names": ("one", "two", "one")}, "class_names contains duplicates: one"),
        ({"class_names": ("one", "")}, "class_names contains an empty name for label 1"),
        ({"name": "../signs"}, "name"),
        ({"channels": 4}, "channels"),
        ({"hflip": {0: 3}}, "hflip: 0: 3 is outside the labels 0–2"),
        ({"vflip": {0: 1}}, "vflip: 0 is mapped to 1, so 1 must be mapped to 0"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        DatasetCard(**{**CARD, **change})


def test_labels_that_are_strings_in_json_are_read_as_integers() -> None:
    card = DatasetCard(**{**CARD, "hflip": {0: 1, 1: 0}})
    assert json.loads(card.model_dump_json())["hflip"] == {"0": 1, "1": 0}
    assert DatasetCard.model_validate_json(card.model_dump_json()) == card


@pytest.mark.parametrize("card", [GTSRB_CARD, SYNTHETIC_SIGNS_CARD], ids=lambda card: card.name)
def test_mirrored_signs_have_left_and_right_swapped_in_their_names(card: DatasetCard) -> None:
    exchanged = {"left": "right", "right": "left"}
    for label, mirrored in card.hflip.items():
        name = re.sub(r"\b(left|right)\b", lambda word: exchanged[word[0]], card.class_names[label])
        assert card.class_names[mirrored] == name
    with_a_side = {label for label, name in enumerate(card.class_names) if re.search(r"\b(left|right)( ahead)?$", name)}
    assert {label for label, mirrored in card.hflip.items() if label != mirrored} == with_a_side - {24}
    assert [card.class_names[label] for label in card.vflip] == [
        "Speed limit (30km/h)", "Speed limit (80km/h)", "Priority road", "No vehicles", "No entry",
    ]  # fmt: skip
    assert all(label == mirrored for label, mirrored in card.vflip.items())


def test_urls_and_checksums_are_those_of_torchvision() -> None:
    oracles: dict[type[ImageSource], list[tuple[str, str]]] = {
        source: [(f"{oracle.mirrors[0]}{name}", md5) for name, md5 in oracle.resources]
        for source, oracle in ((Mnist, torchvision.datasets.MNIST), (FashionMnist, torchvision.datasets.FashionMNIST))
    }
    for source, oracle in ((Cifar10, torchvision.datasets.CIFAR10), (Cifar100, torchvision.datasets.CIFAR100)):
        oracles[source] = [(oracle.url, oracle.tgz_md5)]
    oracles[Svhn] = [(url, md5) for url, _, md5 in torchvision.datasets.SVHN.split_list.values()]
    for source, theirs in oracles.items():
        ours = source.published
        assert ours is not None
        archives = (*ours.archives, *ours.optional)
        assert [(ours.base_url + archive.name, archive.md5) for archive in archives] == theirs
