"""Unusual files and folders: links, pipes, devices and special names."""

import os
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fake_gtsrb
import numpy as np
import pytest

from pipelines.datasets import FileReader, Listing, Location, Rejected, UnreadableImageError, decode, gtsrb_annotations
from pipelines.datasets.extraction import extract_safely
from pipelines.datasets.files import SourceFiles
from pipelines.datasets.gtsrb import Gtsrb
from pipelines.errors import SourceError
from pipelines.spark.frames import read_image
from pipelines.store import writer

IMAGES = fake_gtsrb.make_images()
TEST_CSV = "Final_Test/Images/GT-final_test.csv"


@pytest.fixture
def in_time() -> Iterator[None]:
    """Interrupts a test that waits for a pipe without a writer."""

    def give_up(number: int, frame: object) -> None:
        raise TimeoutError("waited for a pipe")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def official(tmp_path: Path) -> Path:
    fake_gtsrb.write_official(tmp_path / "raw", IMAGES)
    return tmp_path / "raw"


def listing(root: Path) -> Listing:
    return Gtsrb(root=root, allow_missing_classes=True).listing()


def names(files: SourceFiles) -> set[str]:
    return set(files.by_path)


# --- links ---


def test_linked_folders_and_files_are_not_left_out_silently(official: Path, tmp_path: Path) -> None:
    """Linked class folders, a linked root and linked images: all images are listed, with their pixels."""
    expected = {image.image_id for image in listing(official).images}
    for name in ("Final_Training/Images/00014", "Final_Test", "Final_Training/Images/00000/00000_00000.ppm"):
        (official / name).rename(tmp_path / Path(name).name)
        (official / name).symlink_to(tmp_path / Path(name).name)
    listed = listing(official)
    assert ({image.image_id for image in listed.images}, listed.rejected) == (expected, [])
    with FileReader() as reader:
        for image in listed.images:
            assert decode(reader.read(Location(image.archive, image.path))).shape[:2] == (
                image.height_px,
                image.width_px,
            )


def test_links_that_form_a_cycle_are_followed_once(tmp_path: Path) -> None:
    """Links to the folder itself, to a parent, and two links to each other."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "sign.ppm").write_bytes(b"x")
    (tmp_path / "a" / "b" / "self").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "a" / "up").symlink_to("..")
    for one, other in (("left", "right"), ("right", "left")):
        (tmp_path / "a" / one).mkdir()
        (tmp_path / "a" / one / "sign.ppm").write_bytes(b"x")
        (tmp_path / "a" / one / "other").symlink_to(tmp_path / "a" / other)
    files = SourceFiles()
    files.add_folder(tmp_path, "a")
    assert names(files) == {
        "a/b/sign.ppm", "a/left/sign.ppm", "a/left/other/sign.ppm", "a/right/sign.ppm", "a/right/other/sign.ppm",
    }  # fmt: skip


def test_a_class_folder_that_is_a_broken_link_is_not_left_out_silently(official: Path) -> None:
    """The message names the link and its target."""
    folder = official / "Final_Training/Images/00007"
    folder.symlink_to("/nowhere/00007")
    with pytest.raises(SourceError) as refused:
        listing(official)
    reason = "is a link to /nowhere/00007, which does not exist; mount it, or remove the link"
    assert str(refused.value) == f"{folder}: {reason}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root lists every folder")
def test_a_folder_that_cannot_be_listed_is_not_left_out_silently(official: Path) -> None:
    """os.walk would skip it silently."""
    folder = official / "Final_Training/Images/00014"
    folder.chmod(0)
    try:
        with pytest.raises(SourceError, match=f"{folder}: cannot be listed"):
            listing(official)
    finally:
        folder.chmod(0o700)


# --- what is missing ---


def test_missing_classes_are_not_left_out_silently(tmp_path: Path) -> None:
    """A copy without class 5 in train and 6 and 7 in test is refused, unless the setting allows it."""
    every = fake_gtsrb.make_images(labels=range(43), tracks=1, frames=1, tests=43)
    some = [
        image for image in every
        if (image.split, image.label) not in (("train", 5), ("test", 6), ("test", 7))
    ]  # fmt: skip
    fake_gtsrb.write_official(tmp_path, some)
    with pytest.raises(SourceError) as refused:
        Gtsrb(root=tmp_path).listing()
    assert str(refused.value) == (
        f"{tmp_path}, official folders: no train image of class 5; no test image of class 6, 7; the copy is "
        "incomplete: download it again, or set dataset.allow_missing_classes=true if only some of the classes are "
        "wanted"
    )
    assert len(listing(tmp_path).images) == len(some)


def test_missing_frames_are_not_left_out_silently(tmp_path: Path) -> None:
    """If all classes exist but images are missing, the remarks say so."""
    every = fake_gtsrb.make_images(labels=range(43), tracks=2, frames=2, tests=43)
    fake_gtsrb.write_official(tmp_path, every)
    assert Gtsrb(root=tmp_path).listing().remarks == [
        "172 of 39,209 train images, 43 of 12,630 test images, 86 of 1,307 groups of train images"
    ]


def test_a_class_without_its_images_is_missing(tmp_path: Path) -> None:
    """Annotations without images do not count as a class; the first problem is named."""
    every = fake_gtsrb.make_images(labels=range(43), tracks=1, frames=2, tests=43)
    fake_gtsrb.write_official(tmp_path, every)
    for path in (tmp_path / "Final_Training/Images/00005").glob("*.ppm"):
        path.unlink()
    with pytest.raises(SourceError, match=r"no train image of class 5; 2 lines or files are unusable, the first is .*"):
        Gtsrb(root=tmp_path).listing()


# --- pipes, devices, sizes ---


@pytest.mark.parametrize("kind", ["pipe", "/dev/zero", "/dev/null", "folder"])
def test_paths_that_are_not_regular_files_are_neither_waited_for_nor_read(
    kind: str, tmp_path: Path, in_time: None
) -> None:
    """Such an image is rejected with a reason; such an annotation file is an error that names it."""
    fake_gtsrb.write_official(tmp_path, IMAGES)
    image, annotations = tmp_path / "Final_Test/Images/00001.ppm", tmp_path / TEST_CSV
    for path in (image, annotations):
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to(kind)
    with FileReader() as reader, pytest.raises(UnreadableImageError, match=r"not a regular file|IsADirectoryError"):
        read_image(reader, Location("", str(image)))
    found = r"GT-final_test\.csv: not readable as CSV: ValueError: not a regular file|no GT-final_test\.csv"
    with pytest.raises(SourceError, match=found):
        listing(tmp_path)


def test_paths_of_zips_that_are_pipes_are_not_waited_for(official: Path, in_time: None) -> None:
    """A pipe with the name of an archive is ignored."""
    os.mkfifo(official / fake_gtsrb.ARCHIVES[0])
    assert len(listing(official).images) == len(IMAGES)


def test_annotations_are_not_read_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small zip with many lines is refused by their unpacked size and by their number."""
    fake_gtsrb.write_zips(tmp_path, IMAGES)
    path = tmp_path / fake_gtsrb.ARCHIVES[2]
    heading = b"Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"
    fake_gtsrb.write_zip(path, {"GT-final_test.csv": heading + b"\n" * 2**24})
    with pytest.raises(SourceError, match=r"GT-final_test\.csv: not readable .* bytes is over the limit of 16,777,216"):
        listing(tmp_path)
    assert gtsrb_annotations.MAX_LINES == 400_000
    monkeypatch.setattr(gtsrb_annotations, "MAX_LINES", 500)
    fake_gtsrb.write_zip(path, {"GT-final_test.csv": heading + b"1\n" * 500})
    with pytest.raises(SourceError, match=r"GT-final_test\.csv: more than 500 lines; GTSRB has 51,839"):
        listing(tmp_path)


# --- names ---


def test_paths_with_special_characters_are_taken_literally(tmp_path: Path) -> None:
    """Spaces, umlauts, %, #, ? and more in the path of the source, for folders and zips."""
    for number, write in enumerate((fake_gtsrb.write_official, fake_gtsrb.write_zips, fake_gtsrb.write_kaggle)):
        root = tmp_path / f"Über sicht %20 #{number} ?x=1&y [old] *.{{a}} ~ 'q' $HOME"
        write(root, IMAGES)
        listed = listing(root)
        assert (len(listed.images), listed.rejected) == (len(IMAGES), [])
        with FileReader() as reader:
            read = {one.image_id: read_image(reader, Location(one.archive, one.path)) for one in listed.images}
        for image in IMAGES:
            np.testing.assert_array_equal(read[image.image_id], image.pixels)


def test_paths_that_are_not_utf_8_are_rejected_by_name(official: Path, tmp_path: Path) -> None:
    """The bytes of a latin-1 name are shown, and the table of rejected files can be written."""
    folder = os.fsencode(official / "Final_Test" / "Images")
    for name in (b"Stra\xdfe.ppm", b"alt\xe4"):
        with open(folder + b"/" + name, "wb"):
            pass
    listed = listing(official)
    assert listed.rejected == [
        Rejected(f"{official}/Final_Test/Images/Stra\\xdfe.ppm", "its name is not valid UTF-8; rename it"),
        Rejected(f"{official}/Final_Test/Images/alt\\xe4", "its name is not valid UTF-8; rename it"),
    ]
    table = writer.write_rejected(tmp_path, [*listed.rejected, Rejected("Stra\udcdfe.ppm", "from elsewhere")])
    assert table.read_text(encoding="utf-8").splitlines()[-1] == "Stra\\udcdfe.ppm,from elsewhere"


def test_paths_in_a_zip_that_are_not_utf_8_are_an_error_that_names_the_zip(tmp_path: Path) -> None:
    """The zip says that its names are UTF-8, and one is not."""
    path = tmp_path / fake_gtsrb.ARCHIVES[0]
    fake_gtsrb.write_zip(path, {"GTSRB/Stra\u00dfe.ppm": b"x"})
    path.write_bytes(path.read_bytes().replace("ß".encode(), b"\xdf\xdf"))
    with pytest.raises(SourceError, match=rf"{path.name}: not a readable zip \(.*utf-8"):
        SourceFiles().add_archive(path)


def test_paths_that_begin_with_a_dot_are_left_out(official: Path) -> None:
    """The metadata files of macOS, and folders of file managers."""
    for image in list(official.rglob("*.ppm")):
        image.with_name(f"._{image.name}").write_bytes(b"\0\5\x16\7")
    (official / "Final_Training/Images/._GT-00014.csv").write_bytes(b"\0\5\x16\7")
    (official / "Final_Test/.thumbnails").mkdir()
    (official / "Final_Test/.thumbnails/00000.png").write_bytes(b"x")
    listed = listing(official)
    assert (len(listed.images), listed.rejected) == (len(IMAGES), [])


def test_paths_that_macos_adds_to_zips_are_left_out(tmp_path: Path) -> None:
    """__MACOSX/, and names with a dot."""
    fake_gtsrb.write_zips(tmp_path, IMAGES)
    with zipfile.ZipFile(tmp_path / fake_gtsrb.ARCHIVES[1], "a") as archive:
        for name in ("__MACOSX/GTSRB/Final_Test/Images/._00000.ppm", "GTSRB/Final_Test/Images/._00000.ppm"):
            archive.writestr(name, b"\0\5\x16\7")
    listed = listing(tmp_path)
    assert (len(listed.images), listed.rejected) == (len(IMAGES), [])


def test_a_member_that_occurs_twice_in_a_zip_is_refused(tmp_path: Path) -> None:
    """It is ambiguous which of them is meant."""
    with zipfile.ZipFile(tmp_path / "signs.zip", "w") as archive:
        archive.writestr("a/b.ppm", b"1")
        archive.writestr("a\\b.ppm", b"2")
    with pytest.raises(SourceError, match=r"signs.zip: member 'a\\\\b.ppm' occurs twice"):
        SourceFiles().add_archive(tmp_path / "signs.zip")


# --- extraction ---


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"a" * 300: b"x"}, "a" * 300),
        ({"a/b": b"x", "a/b/c": b"y"}, "a/b/c"),
        ({"a/b/c": b"x", "a/b": b"y"}, "a/b"),
        ({"/".join(["a" * 200] * 25): b"x"}, "/".join(["a" * 200] * 25)),
    ],
    ids=["long name", "folder after file", "file after folder", "long path"],
)
def test_paths_that_a_file_system_cannot_store_are_errors_that_name_the_member(
    members: dict[str, bytes], named: str, tmp_path: Path
) -> None:
    """No earlier member is left behind."""
    fake_gtsrb.write_zip(tmp_path / "signs.zip", members)
    with pytest.raises(SourceError) as refused:
        extract_safely(tmp_path / "signs.zip", tmp_path / "out")
    assert f"signs.zip: member {named!r} has a name that this file system cannot store (" in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["signs.zip"]


def test_paths_with_backslashes_are_extracted_as_folders(tmp_path: Path) -> None:
    """PowerShell writes them."""
    fake_gtsrb.write_zip(tmp_path / "signs.zip", {"GTSRB\\a\\": b"", "GTSRB\\a\\b.ppm": b"x"})
    extract_safely(tmp_path / "signs.zip", tmp_path / "out", strip_prefix="GTSRB/")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")] == ["a/b.ppm"]


def test_ignored_names_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    fake_gtsrb.write_official(tmp_path, IMAGES)
    folder = tmp_path / "Final_Training/Images/00014"
    for name in (".DS_Store", "._00000_00000.ppm"):
        (folder / name).write_bytes(b"")
    listing = Gtsrb(root=tmp_path, allow_missing_classes=True).listing()
    assert listing.rejected == []
    assert listing.remarks[0] == f"2 names that begin with a dot, or __MACOSX, are ignored: {folder}/.DS_Store, …"


def test_ignored_members_of_zips_are_counted(tmp_path: Path) -> None:
    fake_gtsrb.write_zips(tmp_path, IMAGES)
    archive = tmp_path / fake_gtsrb.ARCHIVES[0]
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("__MACOSX/GTSRB/._00000.ppm", b"")
    listing = Gtsrb(root=tmp_path, allow_missing_classes=True).listing()
    assert listing.remarks[0] == (
        f"1 names that begin with a dot, or __MACOSX, are ignored: {archive}!__MACOSX/GTSRB/._00000.ppm, …"
    )
