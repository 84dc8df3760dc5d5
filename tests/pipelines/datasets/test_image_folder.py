"""Folders of classes: layouts, splits by group, stray files, and what is refused."""

import io
import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from published_formats import write_image_folder
from pydantic import ValidationError

from pipelines.datasets.class_folders import IMAGE_SUFFIXES
from pipelines.datasets.decoding import decode
from pipelines.datasets.group_split import test_groups as groups_in_test
from pipelines.datasets.image_folder import ImageFolder
from pipelines.errors import SettingsError, SourceError

FACES = [
    *(f"with_mask/{number}-with-mask.jpg" for number in range(10)),
    *(f"without_mask/{number}.jpg" for number in range(5, 20)),
]


def splits_of(source: ImageFolder) -> dict[str, str]:
    return {image.image_id: image.split for image in source.listing().images}


def test_labels_are_those_of_torchvisions_image_folder(tmp_path: Path) -> None:
    names = ("b/1.png", "b/deep/er/2.JPG", "10/1.png", "10/2.png", "9/1.png", "9/2.png", "B/x.bmp", "B/y.bmp")
    write_image_folder(tmp_path, *names)
    theirs = torchvision.datasets.ImageFolder(str(tmp_path))
    listing = ImageFolder(root=tmp_path).listing()
    assert {image.path: image.label for image in listing.images} == dict(theirs.samples)
    assert list(listing.card.class_names) == theirs.classes
    assert "b/deep/er/2.JPG" in {image.image_id for image in listing.images}


def test_split_folders_are_used_as_splits(tmp_path: Path) -> None:
    names = [f"{split}/{kind}/{n}.png" for split in ("train", "val", "test") for kind in "ab" for n in range(2)]
    write_image_folder(tmp_path, *names)
    expected = {"train": "train", "val": "validation", "test": "test"}
    assert splits_of(ImageFolder(root=tmp_path)) == {name: expected[name.partition("/")[0]] for name in names}


def test_a_group_is_in_one_split_even_if_it_spans_classes(tmp_path: Path) -> None:
    write_image_folder(tmp_path, *FACES)
    listing = ImageFolder(root=tmp_path, group_pattern=r"^(?P<group>\d+)").listing()
    splits = defaultdict(set)
    for image in listing.images:
        assert image.group == Path(image.path).name.split("-")[0].removesuffix(".jpg")
        splits[image.group].add(image.split)
    assert all(len(found) == 1 for found in splits.values())
    counts = Counter((image.label, image.split) for image in listing.images)
    assert min(counts.values()) >= 2 and len(counts) == 4
    assert "group" in listing.card.group


def test_without_a_pattern_each_image_is_a_group_of_its_own(tmp_path: Path) -> None:
    write_image_folder(tmp_path, *FACES)
    listing = ImageFolder(root=tmp_path).listing()
    assert {image.group for image in listing.images} == {None}
    assert Counter((image.label, image.split) for image in listing.images) == {
        (0, "train"): 8, (0, "test"): 2, (1, "train"): 12, (1, "test"): 3,
    }  # fmt: skip


def test_the_split_depends_only_on_names_and_seed(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "one", *FACES)
    write_image_folder(tmp_path / "two", *reversed(FACES))
    first = splits_of(ImageFolder(root=tmp_path / "one"))
    assert splits_of(ImageFolder(root=tmp_path / "two")) == first
    assert splits_of(ImageFolder(root=tmp_path / "one", split_seed=1)) != first


@given(st.dictionaries(st.tuples(st.sampled_from("abc"), st.integers(0, 30).map(str)), st.just(1), min_size=1))
def test_every_class_has_groups_in_both_splits_or_is_named(images: dict[tuple[str, str], int]) -> None:
    by_class = defaultdict(set)
    for name, group in images:
        by_class[name].add(group)
    try:
        chosen = groups_in_test(list(images), 0.2, seed=0)
    except SourceError as error:
        assert any(str(error).startswith(f"class {name}: ") for name in by_class)
        return
    for groups in by_class.values():
        assert groups & chosen and groups - chosen
        assert len(groups & chosen) >= min(max(1, round(0.2 * len(groups))), len(groups) - 1)


def test_one_new_image_changes_the_split_of_at_most_one_other(tmp_path: Path) -> None:
    images = [("a", str(number)) for number in range(50)]
    before = groups_in_test(images, 0.2, 0)
    after = groups_in_test([*images, ("a", "new")], 0.2, 0)
    assert len(before - after) <= 1 and len(after - before) <= 1


def refused(root: Path, **settings: Any) -> str:
    with pytest.raises((SourceError, SettingsError)) as caught:
        ImageFolder(root=root, **settings).listing()
    return str(caught.value)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["only/1.png", "only/2.png"], "has 1 class folders (only), but a classifier needs two or more"),
        (["1.png"], "has 0 class folders, but a classifier needs two or more"),
        (["train/a/1.png", "test/a/2.png"], "has 1 class folders (a)"),
        (["train/1.png", "test/2.png"], "test, train contain no class folders"),
        (["train/a/1.png", "train/b/1.png"], "has train, expected train and test; rename"),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png"], "has train, val, expected train and test"),
        (["train/a/1.png", "test/a/1.png", "extra/1.png"], "has extra next to test, train; expected"),
        ([f"{s}/a/1.png" for s in ("train", "test", "val", "validation")], "has both val and validation"),
        (["train/a/1.png", "train/b/1.png", "test/c/1.png"], "test has class folders that train does not have: c"),
        (["a/1.png", "b/1.png", "b/2.png"], "class a: all of its 1 groups are in train and none in the other split"),
    ],
)  # fmt: skip
def test_an_ambiguous_layout_or_a_single_class_is_refused(tmp_path: Path, names: list[str], reason: str) -> None:
    write_image_folder(tmp_path, *names)
    assert reason in refused(tmp_path)


def test_one_zip_per_class_is_refused_with_the_zips(tmp_path: Path) -> None:
    for name in ("cats.zip", "dogs.zip"):
        (tmp_path / name).write_bytes(b"")
    assert refused(tmp_path).endswith("test/<class>/image; unpack the 2 zips in it, such as cats.zip")
    (tmp_path / "train").mkdir()
    (tmp_path / "cats.zip").unlink()
    (tmp_path / "dogs.zip").rename(tmp_path / "train/dogs.zip")
    assert refused(tmp_path).endswith("; unpack train/dogs.zip")


def test_classes_may_have_the_names_of_splits(tmp_path: Path) -> None:
    write_image_folder(tmp_path, "train/1.png", "train/2.png", "bus/1.png", "bus/2.png")
    assert ImageFolder(root=tmp_path).listing().card.class_names == ("bus", "train")


def test_an_empty_class_folder_is_refused(tmp_path: Path) -> None:
    write_image_folder(tmp_path, *FACES)
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path).startswith(f"{tmp_path}/empty: contains no image (.bmp, .jpeg")
    assert "cannot be listed (No such file or directory)" in refused(tmp_path / "nowhere")


def test_files_that_are_not_images_are_counted_and_images_of_other_formats_rejected(tmp_path: Path) -> None:
    write_image_folder(tmp_path, *FACES)
    for name in ("README.md", "with_mask/Thumbs.db", "with_mask/._0.jpg", "with_mask/anim.GIF", ".git/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "with_mask" / "loop").symlink_to(tmp_path, target_is_directory=True)
    listing = ImageFolder(root=tmp_path).listing()
    assert len(listing.images) == len(FACES)
    assert listing.remarks == [
        f"{tmp_path}: ignored 2 (.git, README.md): not in a class folder",
        f"{tmp_path}/with_mask: ignored 3 ({tmp_path}/with_mask/loop/, {tmp_path}/with_mask/._0.jpg, "
        f"{tmp_path}/with_mask/Thumbs.db): not images by their names",
    ]
    assert [tuple(row) for row in listing.rejected] == [
        (f"{tmp_path}/with_mask/anim.GIF", "the format .GIF is not supported; convert it to PNG")
    ]


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    write_image_folder(tmp_path, *FACES)
    with open(os.fsencode(tmp_path) + b"/with_mask/\xff.jpg", "wb"):
        pass
    assert "its name is not UTF-8; rename it" in refused(tmp_path)


def test_a_pattern_must_give_every_image_a_group(tmp_path: Path) -> None:
    write_image_folder(tmp_path, *FACES)
    message = refused(tmp_path, group_pattern=r"(?P<group>\d+)-with")
    assert message.startswith(f"{tmp_path}/without_mask/10.jpg: dataset.group_pattern=")
    for pattern, reason in (("[", "not a regular expression"), (r"(\d+)", "has no named group, such as")):
        with pytest.raises(ValidationError, match=reason):
            ImageFolder(root=tmp_path, group_pattern=pattern)


def test_a_group_in_two_split_folders_is_refused(tmp_path: Path) -> None:
    write_image_folder(tmp_path, "train/a/1-x.png", "train/b/2-x.png", "test/a/3-x.png", "test/b/1-y.png")
    assert "1 groups are in more than one split folder, the first is '1'" in refused(
        tmp_path, group_pattern=r"^(?P<group>\d+)"
    )
    assert len(ImageFolder(root=tmp_path).listing().images) == 4


@pytest.mark.parametrize(
    ("mirror", "expected"),
    [
        ("none", {}),
        ("all", {0: 0, 1: 1, 2: 2}),
        ({"left": "right", "right": "left"}, {0: 1, 1: 0}),
        ({"up": "up"}, {2: 2}),
    ],
)  # fmt: skip
def test_mirrors_are_none_unless_set(tmp_path: Path, mirror: Any, expected: dict[int, int]) -> None:
    write_image_folder(tmp_path, *(f"{kind}/{number}.png" for kind in ("left", "right", "up") for number in range(2)))
    assert ImageFolder(root=tmp_path).listing().card.hflip == {}
    card = ImageFolder(root=tmp_path, hflip=mirror, vflip=mirror).listing().card
    assert card.hflip == card.vflip == expected


def test_a_mirror_of_unknown_or_one_way_classes_is_refused(tmp_path: Path) -> None:
    write_image_folder(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    assert refused(tmp_path, hflip={"a": "c"}) == "dataset.hflip: c: unknown class; there are: a, b"
    assert refused(tmp_path, vflip={"a": "b"}) == "dataset.vflip: a is mapped to b, so b must be mapped to a"


def test_the_data_set_is_named_after_its_folder_or_by_the_settings(tmp_path: Path) -> None:
    assert ImageFolder(root=tmp_path / "faces-2").dataset_name == "faces-2"
    assert ImageFolder(root=tmp_path / "faces 2", name="faces").dataset_name == "faces"
    with pytest.raises(SettingsError, match=r"'faces 2' is not a valid name for a data set; set dataset.name"):
        _ = ImageFolder(root=tmp_path / "faces 2").dataset_name
    with pytest.raises(ValidationError, match="name"):
        ImageFolder(root=tmp_path, name="../faces")


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_suffix_that_is_listed_is_decoded(suffix: str) -> None:
    pixels = np.full((5, 6) if suffix == ".pgm" else (5, 6, 3), 80, np.uint8)
    Image.fromarray(pixels).save(written := io.BytesIO(), Image.registered_extensions()[suffix])
    assert decode(written.getvalue()).shape == (5, 6, 3)
