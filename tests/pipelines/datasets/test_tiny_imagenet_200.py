"""Tiny ImageNet as a folder and as a zip."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import torchvision.datasets
from published_formats import TINY_WNIDS, write_tiny_imagenet

from pipelines.datasets.tiny_imagenet_200 import TinyImagenet200
from pipelines.errors import SourceError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_tiny_imagenet(tmp_path / "tiny-imagenet-200")
    return tmp_path / "tiny-imagenet-200"


def test_training_labels_are_those_of_torchvisions_image_folder(root: Path) -> None:
    images = [image for image in TinyImagenet200(root=root).listing().images if image.split == "train"]
    theirs = torchvision.datasets.ImageFolder(str(root / "train"))
    assert {image.path: image.label for image in images} == dict(theirs.samples)
    assert len(images) == 12


def test_val_becomes_test_with_the_labels_of_its_annotations(root: Path) -> None:
    listing = TinyImagenet200(root=root).listing()
    test = [image for image in listing.images if image.split == "test"]
    wnids = sorted(TINY_WNIDS)
    assert [wnids[image.label] for image in test] == [wnid for wnid in TINY_WNIDS for _ in range(2)]
    assert [image.image_id for image in test] == [f"val/val_{number}" for number in range(8)]
    assert listing.rejected == []
    assert listing.remarks == [
        "2 images in test/ have no labels and are ignored",
        "4 of 200 classes, 12 of 100,000 train images, 8 of 10,000 test images",
    ]


def test_classes_are_named_by_their_first_word_and_their_wnid_if_it_is_ambiguous(root: Path) -> None:
    assert TinyImagenet200(root=root).listing().card.class_names == (
        "goldfish", "crane (n02012849)", "Egyptian cat", "crane (n03126707)",
    )  # fmt: skip


def test_the_zip_gives_the_same_images_unextracted(root: Path, tmp_path: Path) -> None:
    folder = TinyImagenet200(root=root).listing()
    shutil.make_archive(str(tmp_path / "zips" / "tiny-imagenet-200"), "zip", tmp_path, "tiny-imagenet-200")
    zipped = TinyImagenet200(root=tmp_path / "zips").listing()
    assert [image[:4] for image in zipped.images] == [image[:4] for image in folder.images]
    assert {image.archive for image in zipped.images} == {str(tmp_path / "zips" / "tiny-imagenet-200.zip")}
    assert zipped.card == folder.card and zipped.remarks == folder.remarks


def test_lines_and_images_that_do_not_match_are_rejected(root: Path) -> None:
    path = root / "val/val_annotations.txt"
    lines = path.read_text().splitlines()
    lines[1] = "val_99.JPEG\tn01443537\t0\t0\t1\t1"
    lines[2] = lines[2].replace(TINY_WNIDS[1], "n00000001")
    path.write_text("\n".join([*lines, lines[0], ""]))
    listing = TinyImagenet200(root=root).listing()
    assert [(Path(row.source).name, row.reason) for row in listing.rejected] == [
        ("val_annotations.txt line 2", "refers to 'val_99.JPEG', which is not in val/images"),
        ("val_annotations.txt line 3", "refers to the class 'n00000001', which is not in wnids.txt"),
        ("val_annotations.txt line 9", "a second line for val_0.JPEG; the first is used"),
        ("val_1.JPEG", "not in val_annotations.txt"),
    ]
    assert Counter(image.split for image in listing.images) == {"train": 12, "test": 6}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("wnids.txt", "n01443537\nn01443537\n", r"wnids.txt: contains duplicates: n01443537"),
        ("wnids.txt", "n01443537\n", r"wnids.txt: lists 1 classes, expected 200, or at least 2"),
        ("wnids.txt", "goldfish\ncat\n", r"wnids.txt: 'goldfish' is not a wnid"),
        ("wnids.txt", "n01443537\nn02124075\n", r"train/n02012849 is not in wnids.txt"),
        ("wnids.txt", "\n".join([*TINY_WNIDS, "n00000001"]), r"train/ has no image of n00000001"),
        ("words.txt", None, r"Tiny ImageNet has no words.txt; expected"),
        ("val/val_annotations.txt", None, r"has no val/val_annotations.txt; expected"),
        ("val/val_annotations.txt", b"\xff\xfe", r"val_annotations.txt: not readable: UnicodeDecodeError"),
    ],
)  # fmt: skip
def test_an_incomplete_or_damaged_copy_is_refused(
    root: Path, name: str, content: str | bytes | None, reason: str
) -> None:
    if content is None:
        (root / name).unlink()
    else:
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SourceError, match=reason):
        TinyImagenet200(root=root).listing()


def test_a_class_without_a_name_is_named_by_its_wnid_and_that_is_reported(root: Path) -> None:
    (root / "words.txt").write_text("n01443537\tgoldfish\n")
    listing = TinyImagenet200(root=root).listing()
    assert listing.card.class_names == ("goldfish", "n02012849", "n02124075", "n03126707")
    assert (
        "words.txt has no name for n02012849, n02124075, n03126707; these classes are named by their wnid"
        in listing.remarks
    )


def test_other_files_among_the_training_images_are_counted(root: Path) -> None:
    for name in ("0_notes.txt", "notes.txt"):
        (root / "train/n01443537/images" / name).write_bytes(b"")
    assert TinyImagenet200(root=root).listing().left_out[0] == (
        "2 other files in train/ are ignored: train/n01443537/images/0_notes.txt, …"
    )


def test_a_folder_without_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"Tiny ImageNet not found; expected wnids.txt"):
        TinyImagenet200(root=tmp_path).listing()
