import zipfile
from collections.abc import Callable
from pathlib import Path

import fake_gtsrb
import numpy as np
import pytest
from fake_gtsrb import FakeImage

from pipelines.datasets import FileReader, Listing, Location, Rejected, decode
from pipelines.datasets.gtsrb import Gtsrb
from pipelines.datasets.gtsrb_card import CLASS_NAMES
from pipelines.errors import SourceError

IMAGES = fake_gtsrb.make_images()
TRAINING_CSV = "Final_Training/Images/00014/GT-00014.csv"
TEST_CSV = "Final_Test/Images/GT-final_test.csv"

Write = Callable[[Path, list[FakeImage]], None]


def _mixture(root: Path, images: list[FakeImage], archives: tuple[int, ...]) -> None:
    """Writes these archives as zips and the others as folders."""
    fake_gtsrb.write_zips(root, images)
    for number, archive in enumerate(fake_gtsrb.ARCHIVES):
        if number not in archives:
            with zipfile.ZipFile(root / archive) as opened:
                opened.extractall(root)
            (root / archive).unlink()
    for folder in list((root / "GTSRB").glob("*")):
        folder.rename(root / folder.name)


def _moved_annotations(target: str) -> Write:
    def write(root: Path, images: list[FakeImage]) -> None:
        fake_gtsrb.write_official(root, images)
        (root / TEST_CSV).rename(root / target)

    return write


def _zips_and_folders(root: Path, images: list[FakeImage]) -> None:
    fake_gtsrb.write_zips(root, images)
    fake_gtsrb.write_official(root, images)


LAYOUTS: dict[str, Write] = {
    "official folders": fake_gtsrb.write_official,
    "official zips": fake_gtsrb.write_zips,
    "kaggle": fake_gtsrb.write_kaggle,
    "training zip, test folder": lambda root, images: _mixture(root, images, (0,)),
    "training folder, test zips": lambda root, images: _mixture(root, images, (1, 2)),
    "training folder, test zip, annotations at the root": lambda root, images: _mixture(root, images, (1,)),
    "training and test zips, annotations at the root": lambda root, images: _mixture(root, images, (0, 1)),
    "folders, annotations at the root": _moved_annotations("GT-final_test.csv"),
    "folders, annotations in Final_Test": _moved_annotations("Final_Test/GT-final_test.csv"),
    "zips beside their folders": _zips_and_folders,
    "parent of the folders": lambda root, images: fake_gtsrb.write_official(root / "GTSRB", images),
    "parent of the zips": lambda root, images: fake_gtsrb.write_zips(root / "GTSRB", images),
    "parent of kaggle": lambda root, images: fake_gtsrb.write_kaggle(root / "GTSRB", images),
}


@pytest.fixture
def official(tmp_path: Path) -> Path:
    fake_gtsrb.write_official(tmp_path, IMAGES)
    return tmp_path


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    fake_gtsrb.write_kaggle(tmp_path, IMAGES)
    return tmp_path


def _listing(root: Path) -> Listing:
    return Gtsrb(root=root, allow_missing_classes=True).listing()


def _refused(root: Path) -> str:
    with pytest.raises(SourceError) as refused:
        _listing(root)
    return str(refused.value)


def _change_line(path: Path, number: int, **changes: object) -> None:
    """Changes the cells of a line in an annotation file; line 1 is the heading."""
    lines = path.read_text().splitlines()
    delimiter = ";" if ";" in lines[0] else ","
    cells = dict(zip(lines[0].split(delimiter), lines[number - 1].split(delimiter), strict=True))
    lines[number - 1] = delimiter.join(str(value) for value in (cells | changes).values())
    path.write_text("\n".join(lines) + "\n")


def _only_rejected(root: Path, lost: int = 1) -> Rejected:
    """The only rejected entry; everything else must still be listed."""
    listing = _listing(root)
    assert len(listing.images) == len(IMAGES) - lost
    (rejected,) = listing.rejected
    return rejected


@pytest.mark.parametrize("write", LAYOUTS.values(), ids=list(LAYOUTS))
def test_every_layout_lists_the_same_images(write: Write, tmp_path: Path) -> None:
    """Ids, labels, splits, tracks, sizes, regions and decoded pixels are those written, in each layout."""
    write(tmp_path, IMAGES)
    listing = _listing(tmp_path)
    assert (listing.rejected, listing.card.class_names) == ([], CLASS_NAMES)
    listed = {image.image_id: image for image in listing.images}
    assert listed.keys() == {image.image_id for image in IMAGES}
    assert len(listing.images) == len(IMAGES)
    with FileReader() as reader:
        for image in IMAGES:
            found = listed[image.image_id]
            track = f"{image.label:05d}/{image.track:05d}" if image.split == "train" else None
            assert (found.label, found.split, found.group) == (image.label, image.split, track)
            assert (found.width_px, found.height_px) == (image.pixels.shape[1], image.pixels.shape[0])
            assert (found.roi_x1, found.roi_y1, found.roi_x2, found.roi_y2) == image.roi
            pixels = decode(reader.read(Location(found.archive, found.path)))
            np.testing.assert_array_equal(pixels, image.pixels)
    assert all(Path(image.archive or image.path).is_file() for image in listing.images)


@pytest.mark.parametrize(
    ("layout", "found"),
    [
        ("official folders", ", official folders"),
        ("official zips", f", official zips {', '.join(sorted(fake_gtsrb.ARCHIVES))}"),
        ("training zip, test folder", f", official zips {fake_gtsrb.ARCHIVES[0]}"),
        ("kaggle", ", Kaggle's layout"),
    ],
)
def test_the_listing_says_what_was_found_and_where(layout: str, found: str, tmp_path: Path) -> None:
    """In a sentence for the console and the manifest."""
    LAYOUTS[layout](tmp_path, IMAGES)
    listing = _listing(tmp_path)
    assert listing.found == f"{tmp_path}{found}"
    missing = "18 of 39,209 train images, 4 of 12,630 test images, 6 of 1,307 groups of train images"
    assert listing.remarks[0] == missing


def test_there_are_43_class_names_in_the_order_of_the_labels() -> None:
    """Well-known names in the paper's Table 1."""
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 43
    known = {0: "20km/h", 8: "120km/h", 13: "Yield", 14: "Stop", 17: "No entry", 25: "Road work", 40: "Roundabout"}
    assert all(part in CLASS_NAMES[label] for label, part in known.items())


def test_other_files_do_not_matter(official: Path) -> None:
    """A readme and hidden files of file managers are neither listed nor rejected."""
    for name in ("Readme-Images.txt", "Final_Training/.DS_Store", "Final_Training/Images/00014/Thumbs.db"):
        (official / name).write_text("x")
    assert (len(_listing(official).images), _listing(official).rejected) == (len(IMAGES), [])


def test_a_byte_order_mark_does_not_matter(official: Path) -> None:
    """Excel writes one before the first column's name."""
    for path in official.rglob("*.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert (len(_listing(official).images), _listing(official).rejected) == (len(IMAGES), [])


# --- single lines and files that cannot be used: rejected with their place and reason, the rest is listed ---


def test_a_line_without_its_file_is_rejected(official: Path) -> None:
    """The message has its file, its line and the image it refers to."""
    (official / "Final_Training/Images/00014/00001_00002.ppm").unlink()
    image = "Final_Training/Images/00014/00001_00002.ppm"
    assert _only_rejected(official) == (f"{official / TRAINING_CSV} line 7", f"names {image}, which does not exist")


def test_a_file_without_its_line_is_rejected(official: Path) -> None:
    """The message has the path of the image."""
    lines = (official / TEST_CSV).read_text().splitlines()
    (official / TEST_CSV).write_text("\n".join(lines[:-1]) + "\n")
    expected = str(official / "Final_Test/Images/00003.ppm"), "not in any annotation file"
    assert _only_rejected(official) == expected


def test_a_file_without_its_line_in_a_zip_is_rejected(tmp_path: Path) -> None:
    """The message names the archive that contains it."""
    fake_gtsrb.write_zips(tmp_path, IMAGES)
    archive = tmp_path / fake_gtsrb.ARCHIVES[1]
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("GTSRB/Final_Test/Images/00099.ppm", b"x")
    expected = f"{archive}!GTSRB/Final_Test/Images/00099.ppm", "not in any annotation file"
    assert _only_rejected(tmp_path, lost=0) == expected


@pytest.mark.parametrize("label", [43, -1, 100])
@pytest.mark.parametrize("annotations", [TRAINING_CSV, TEST_CSV])
def test_a_label_outside_the_43_is_rejected(official: Path, annotations: str, label: int) -> None:
    """The message has the label and the valid range."""
    _change_line(official / annotations, 3, ClassId=label)
    assert _only_rejected(official) == (f"{official / annotations} line 3", f"label {label} is outside 0–42")


def _contradiction(label: int, path: str) -> str:
    return f"label {label}, but the name {path} says another class"


def test_a_label_that_contradicts_its_folder_is_rejected(official: Path) -> None:
    """One of them is wrong, and it is unknown which."""
    _change_line(official / TRAINING_CSV, 2, ClassId=13)
    expected = f"{official / TRAINING_CSV} line 2", _contradiction(13, "Final_Training/Images/00014/00000_00000.ppm")
    assert _only_rejected(official) == expected


def test_a_label_that_contradicts_its_file_name_is_rejected_in_kaggles_copy(kaggle: Path) -> None:
    """There the file name contains the class."""
    _change_line(kaggle / "Train.csv", 2, ClassId=1)
    assert _only_rejected(kaggle) == (
        f"{kaggle / 'Train.csv'} line 2",
        _contradiction(1, "Train/0/00000_00000_00000.png"),
    )


@pytest.mark.parametrize("annotations", [TRAINING_CSV, TEST_CSV])
def test_a_second_line_for_an_image_is_rejected(official: Path, annotations: str) -> None:
    """The image is listed once, with the data of its first line."""
    path = official / annotations
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1]]) + "\n")
    _change_line(path, len(lines) + 1, ClassId=20)
    rejected = _only_rejected(official, lost=0)
    assert rejected.source == f"{path} line {len(lines) + 1}"
    assert rejected.reason.startswith("a second line for ") and rejected.reason.endswith("; the first is used")
    assert 20 not in {image.label for image in _listing(official).images}


@pytest.mark.parametrize("column", fake_gtsrb.COLUMNS)
@pytest.mark.parametrize("cell", ["wide", "", "12.5", "1e2", "0x10", " "])
def test_a_cell_that_is_not_an_integer_is_rejected(official: Path, column: str, cell: str) -> None:
    """The message has the cells of the line."""
    _change_line(official / TRAINING_CSV, 4, **{column: cell})
    rejected = _only_rejected(official)
    assert rejected.source == f"{official / TRAINING_CSV} line 4"
    assert rejected.reason.startswith("not whole numbers: [") and repr(cell) in rejected.reason


def test_a_line_that_ends_early_is_rejected(official: Path) -> None:
    """As after an interrupted download."""
    text = (official / TEST_CSV).read_text()
    (official / TEST_CSV).write_text(text[: text.rstrip().rindex(";")])
    assert _only_rejected(official).reason.startswith("not whole numbers: [")


@pytest.mark.parametrize(
    "change",
    [
        {"Roi.X1": -1}, {"Roi.Y1": -1}, {"Roi.X2": 30}, {"Roi.Y2": 20}, {"Roi.X1": 25}, {"Roi.Y1": 15},
        {"Width": 24}, {"Height": 14}, {"Width": 0}, {"Height": -20},
    ],
)  # fmt: skip
def test_a_region_outside_its_image_is_rejected(tmp_path: Path, change: dict[str, int]) -> None:
    """Negative, at the width or height (x2 and y2 are inclusive), or with swapped corners."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    images = [FakeImage("train", 0, 0, 0, pixels), FakeImage("test", 0, 0, 0, pixels)]
    fake_gtsrb.write_official(tmp_path, images)
    assert images[0].roi == (3, 4, 24, 14)
    path = tmp_path / "Final_Training/Images/00000/GT-00000.csv"
    _change_line(path, 2, **change)
    cells = {"Width": 30, "Height": 20, "Roi.X1": 3, "Roi.Y1": 4, "Roi.X2": 24, "Roi.Y2": 14} | change
    (rejected,) = _listing(tmp_path).rejected
    region = f"({cells['Roi.X1']}, {cells['Roi.Y1']})–({cells['Roi.X2']}, {cells['Roi.Y2']})"
    size = f"{cells['Width']} × {cells['Height']}"
    assert rejected == (f"{path} line 2", f"region {region} is not inside {size}")


def test_the_largest_region_is_the_image(tmp_path: Path) -> None:
    """0 to width − 1 and 0 to height − 1 is inside."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    fake_gtsrb.write_official(tmp_path, [FakeImage("train", 0, 0, 0, pixels), FakeImage("test", 0, 0, 0, pixels)])
    path = tmp_path / "Final_Training/Images/00000/GT-00000.csv"
    _change_line(path, 2, **{"Roi.X1": 0, "Roi.Y1": 0, "Roi.X2": 29, "Roi.Y2": 19})
    assert _listing(tmp_path).rejected == []


def test_a_training_image_of_another_name_is_rejected(official: Path) -> None:
    """Without a track, an image cannot be assigned to one split."""
    folder = official / "Final_Training/Images/00014"
    (folder / "00001_00002.ppm").rename(folder / "stop.ppm")
    _change_line(official / TRAINING_CSV, 7, Filename="stop.ppm")
    rejected = _only_rejected(official)
    assert rejected.reason == "Final_Training/Images/00014/stop.ppm is not named <track>_<frame>"


def test_an_image_name_outside_its_folder_is_rejected(official: Path) -> None:
    """An annotation file may only refer to images of its own folder."""
    _change_line(official / TRAINING_CSV, 2, Filename="../00000/00000_00000.ppm")
    listing = _listing(official)
    assert len(listing.images) == len(IMAGES) - 1
    assert {rejected.reason for rejected in listing.rejected} == {
        "names Final_Training/Images/00014/../00000/00000_00000.ppm, which does not exist",
        "not in any annotation file",
    }


# --- sources that cannot be used at all ---


@pytest.mark.parametrize("column", ["Filename", *fake_gtsrb.COLUMNS])
def test_an_annotation_file_without_a_column_is_refused(official: Path, column: str) -> None:
    """The message has the file, the missing column and the existing columns."""
    text = (official / TEST_CSV).read_text()
    (official / TEST_CSV).write_text(text.replace(column, "Other", 1))
    message = _refused(official)
    assert message.startswith(f"{official / TEST_CSV}: has no column {column}; it has [") and "'Other'" in message


def test_an_annotation_file_with_another_delimiter_is_refused(official: Path) -> None:
    """With tabs instead of semicolons or commas, no column is found."""
    (official / TEST_CSV).write_text((official / TEST_CSV).read_text().replace(";", "\t"))
    assert _refused(official).startswith(f"{official / TEST_CSV}: has no column ClassId, Filename, Height, Roi.X1")


def test_an_empty_annotation_file_is_refused(official: Path) -> None:
    """It has no columns."""
    (official / TRAINING_CSV).write_text("")
    assert _refused(official).startswith(f"{official / TRAINING_CSV}: has no column ")


def test_an_annotation_file_that_is_not_utf_8_is_refused(official: Path) -> None:
    """The message has the file and the byte."""
    (official / TEST_CSV).write_bytes(b"\xff\xfe" + (official / TEST_CSV).read_bytes())
    assert _refused(official).startswith(
        f"{official / TEST_CSV}: not readable as CSV: UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff"
    )


@pytest.mark.parametrize("layout", ["folder", "zip", "kaggle"])
def test_an_empty_class_folder_is_refused(layout: str, tmp_path: Path) -> None:
    """The copy is incomplete; the folder is named."""
    if layout == "folder":
        fake_gtsrb.write_official(tmp_path, IMAGES)
        (tmp_path / "Final_Training/Images/00007").mkdir()
    elif layout == "zip":
        fake_gtsrb.write_zips(tmp_path, IMAGES)
        with zipfile.ZipFile(tmp_path / fake_gtsrb.ARCHIVES[0], "a") as opened:
            for folder in ("", "Final_Training/", "Final_Training/Images/", "Final_Training/Images/00007/"):
                opened.writestr(f"GTSRB/{folder}", b"")
    else:
        fake_gtsrb.write_kaggle(tmp_path, IMAGES)
        (tmp_path / "Train/7").mkdir()
    folder = "Train/7" if layout == "kaggle" else "Final_Training/Images/00007"
    assert f"class folder {folder} is empty; the copy is incomplete" in _refused(tmp_path)


def test_kaggles_copy_without_its_test_annotations_is_refused(kaggle: Path) -> None:
    """A copy without a test set is incomplete."""
    (kaggle / "Test.csv").unlink()
    assert _refused(kaggle).startswith(f"{kaggle}: has Kaggle's Train.csv but no Test.csv; expected the official")


@pytest.mark.parametrize("missing", [TEST_CSV, "Final_Test"])
def test_training_without_test_is_refused(official: Path, missing: str) -> None:
    """Whether all of test or only its annotations are missing."""
    (official / missing).rename(official / "elsewhere")
    message = _refused(official)
    assert message.startswith(f"{official}: no GT-final_test.csv, in Final_Test/Images or in GTSRB_Final_Test_GT.zip;")


def test_a_training_zip_alone_is_refused(tmp_path: Path) -> None:
    """The message names the missing archive and the command that downloads it."""
    fake_gtsrb.write_zips(tmp_path, IMAGES)
    (tmp_path / fake_gtsrb.ARCHIVES[1]).unlink()
    (tmp_path / fake_gtsrb.ARCHIVES[2]).unlink()
    message = _refused(tmp_path)
    assert "no GT-final_test.csv" in message and "python jobs/download_dataset.py gtsrb" in message


def test_test_without_training_is_refused(tmp_path: Path) -> None:
    """The message names the files and the archive."""
    fake_gtsrb.write_zips(tmp_path, IMAGES)
    (tmp_path / fake_gtsrb.ARCHIVES[0]).unlink()
    message = _refused(tmp_path)
    assert message.startswith(f"{tmp_path}: no Final_Training/Images/000NN/GT-000NN.csv, in folders or in GTSRB_Final")


@pytest.mark.parametrize("there", [(), ("Final_Training", "Final_Test"), ("unrelated",)])
def test_a_folder_without_gtsrb_is_refused(tmp_path: Path, there: tuple[str, ...]) -> None:
    """For nothing, empty folders or something else, the message says what was expected and how to get it."""
    for name in there:
        (tmp_path / name).mkdir()
    assert _refused(tmp_path).startswith(f"{tmp_path}: GTSRB not found; expected the official archives")
    assert _refused(tmp_path / "nowhere").startswith(f"{tmp_path / 'nowhere'}: GTSRB not found; ")


def test_both_layouts_in_one_folder_are_refused(official: Path) -> None:
    """It is ambiguous which of them is meant."""
    fake_gtsrb.write_kaggle(official, IMAGES)
    assert _refused(official) == (
        f"{official}: contains both the official files and Kaggle's; set dataset.root to one of them"
    )


@pytest.mark.parametrize("member", ["../evil.ppm", "GTSRB/../../evil.ppm", "/etc/evil.ppm", "GTSRB\\..\\..\\evil.ppm"])
def test_a_zip_with_a_member_outside_the_archive_is_refused(tmp_path: Path, member: str) -> None:
    """Such an archive may be malicious."""
    fake_gtsrb.write_zips(tmp_path, IMAGES)
    archive = tmp_path / fake_gtsrb.ARCHIVES[1]
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(member, b"x")
    message = _refused(tmp_path)
    assert message.startswith(f"{archive}: member ") and message.endswith(
        " has a path outside the archive; download it from its publisher"
    )


@pytest.mark.parametrize("archive", fake_gtsrb.ARCHIVES)
@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_a_corrupt_zip_is_refused(tmp_path: Path, archive: str, damage: str) -> None:
    """An interrupted download, an error page saved as a zip, an empty file: the message names the archive and what to
    do."""
    fake_gtsrb.write_zips(tmp_path, IMAGES)
    path = tmp_path / archive
    path.write_bytes({"truncated": path.read_bytes()[:-30], "text": b"<html>404</html>", "empty": b""}[damage])
    message = _refused(tmp_path)
    assert message.startswith(f"{path}: not a readable zip (") and message.endswith("; download it again")


def test_the_builder_writes_what_the_official_archives_have() -> None:
    """Layout facts of the published archives: names of five digits, semicolons, carriage returns, P6."""
    files = fake_gtsrb.official_files(IMAGES)
    heading = b"Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\r\n"
    assert files[TRAINING_CSV].startswith(heading + b"00000_00000.ppm;")
    assert files[TEST_CSV].startswith(heading + b"00000.ppm;")
    assert files["Final_Training/Images/00042/00001_00002.ppm"].startswith(b"P6")
    assert files["Final_Test/Images/00003.ppm"].startswith(b"P6")
