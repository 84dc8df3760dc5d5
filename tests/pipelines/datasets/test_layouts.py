"""GTSRB in the layouts of downloads, tools and spreadsheets: the same images, or a message that says what was found."""

import csv
import zipfile
from collections.abc import Callable
from pathlib import Path

import fake_gtsrb
import numpy as np
import pytest
from fake_gtsrb import FakeImage

from pipelines.datasets import FileReader, Listing, Location, decode
from pipelines.datasets.gtsrb import Gtsrb
from pipelines.errors import SourceError

IMAGES = fake_gtsrb.make_images()
ARCHIVES = fake_gtsrb.ARCHIVES
TEST_CSV = "Final_Test/Images/GT-final_test.csv"


def torchvisions_files(images: list[FakeImage]) -> dict[str, bytes]:
    """The files that torchvision downloads; Training has the images of the online competition."""
    files = fake_gtsrb.official_files(images)
    return {name.replace("Final_Training/Images/", "Training/"): data for name, data in files.items()}


def write_torchvision(root: Path, images: list[FakeImage] = IMAGES) -> None:
    """Writes the layout of torchvision.datasets.GTSRB(root, download=True), without the archives."""
    for name, data in torchvisions_files(images).items():
        fake_gtsrb.write_file(root / ("gtsrb/GT-final_test.csv" if name == TEST_CSV else f"gtsrb/GTSRB/{name}"), data)


def write_torchvisions_zips(root: Path) -> None:
    fake_gtsrb.write_zips(root, IMAGES)
    training = {
        f"GTSRB/{name}": data for name, data in torchvisions_files(IMAGES).items() if name.startswith("Training/")
    }
    (root / ARCHIVES[0]).unlink()
    fake_gtsrb.write_zip(root / "GTSRB-Training_fixed.zip", training)


def write_unpacked(root: Path) -> None:
    """Writes all three archives unpacked into one folder."""
    fake_gtsrb.write_official(root / "GTSRB", IMAGES)
    (root / "GTSRB" / TEST_CSV).rename(root / "GT-final_test.csv")


def write_powershells_zips(root: Path) -> None:
    """Compress-Archive of Windows PowerShell 5 writes \\ between the parts of a name, and entries for folders."""
    fake_gtsrb.write_zips(root, IMAGES)
    for archive in ARCHIVES[:2]:
        with zipfile.ZipFile(root / archive) as opened:
            members = {name.replace("/", "\\"): opened.read(name) for name in opened.namelist()}
        folders = {f"{name.rpartition(chr(92))[0]}\\": b"" for name in members}
        fake_gtsrb.write_zip(root / archive, {**folders, **members})


def saved_again(
    root: Path, change: Callable[[list[dict[str, str]]], list[dict[str, str]]], delimiter: str = ","
) -> None:
    """Rewrites every annotation file with changed rows."""
    for path in root.rglob("*.csv"):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter=";" if ";" in path.read_text() else ","))
        rows = change(rows)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)


def write_pandas(write: Callable[[Path, list[FakeImage]], None]) -> Callable[[Path], None]:
    """to_csv() after a cell was missing: commas, an index, 53.0 for 53."""

    def change(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        numbers = [{key: f"{value}.0" if value.isdigit() else value for key, value in row.items()} for row in rows]
        return [{"": str(index), **row} for index, row in enumerate(numbers)]

    def write_all(root: Path) -> None:
        write(root, IMAGES)
        saved_again(root, change)

    return write_all


def write_quoted(root: Path) -> None:
    fake_gtsrb.write_official(root, IMAGES)
    for path in root.rglob("*.csv"):
        lines = [";".join(f'"{cell}"' for cell in line.split(";")) for line in path.read_text().splitlines()]
        path.write_text("\n".join(lines) + "\n")


def write_windows_paths(root: Path) -> None:
    fake_gtsrb.write_kaggle(root, IMAGES)
    saved_again(root, lambda rows: [{**row, "Path": row["Path"].replace("/", "\\")} for row in rows])


def write_upper_case(root: Path) -> None:
    fake_gtsrb.write_official(root, IMAGES)
    for path in list(root.rglob("*.ppm")):
        path.rename(path.with_suffix(".PPM"))


def write_excel(root: Path) -> None:
    """A byte order mark and \\r\\n."""
    fake_gtsrb.write_official(root, IMAGES)
    for path in root.rglob("*.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(path.read_bytes().splitlines()) + b"\r\n\r\n")


READ: dict[str, Callable[[Path], None]] = {
    "torchvision's root": write_torchvision,
    "torchvision's zips": write_torchvisions_zips,
    "GTSRB inside GTSRB": lambda root: fake_gtsrb.write_official(root / "GTSRB/GTSRB", IMAGES),
    "Kaggle's GTSRB inside GTSRB": lambda root: fake_gtsrb.write_kaggle(root / "GTSRB/GTSRB", IMAGES),
    "all archives unpacked in one folder": write_unpacked,
    "the same in a folder GTSRB": lambda root: write_unpacked(root / "GTSRB"),
    "PowerShell's zips": write_powershells_zips,
    "official, saved by pandas": write_pandas(fake_gtsrb.write_official),
    "Kaggle's, saved by pandas": write_pandas(fake_gtsrb.write_kaggle),
    "quoted": write_quoted,
    "paths with backslashes": write_windows_paths,
    "upper-case suffixes": write_upper_case,
    "saved by Excel": write_excel,
}  # fmt: skip


def listing(root: Path) -> Listing:
    return Gtsrb(root=root, allow_missing_classes=True).listing()


def refused(root: Path) -> str:
    with pytest.raises(SourceError) as error:
        listing(root)
    return str(error.value)


@pytest.mark.parametrize("write", READ.values(), ids=list(READ))
def test_layouts_that_people_have_are_read(write: Callable[[Path], None], tmp_path: Path) -> None:
    """Ids, labels, regions and pixels equal those of the official layout, and nothing is rejected."""
    write(tmp_path)
    check(listing(tmp_path))


@pytest.mark.parametrize("folder", ["gtsrb", "gtsrb/GTSRB"])
def test_layouts_of_torchvision_are_read_by_each_of_its_folders(folder: str, tmp_path: Path) -> None:
    """GT-final_test.csv is next to the inner folder."""
    write_torchvision(tmp_path)
    check(listing(tmp_path / folder))


def check(listed: Listing) -> None:
    assert listed.rejected == []
    found = {image.image_id: image for image in listed.images}
    assert found.keys() == {image.image_id for image in IMAGES}
    with FileReader() as reader:
        for image in IMAGES:
            one = found[image.image_id]
            assert [one.width_px, one.height_px, *one[-4:], one.label] == image.numbers
            np.testing.assert_array_equal(decode(reader.read(Location(one.archive, one.path))), image.pixels)


@pytest.mark.slow
def test_layouts_of_torchvision_are_what_torchvision_reads(tmp_path: Path) -> None:
    """torchvision's reader finds the same images and classes in the folder."""
    from torchvision.datasets import GTSRB

    every = fake_gtsrb.make_images(labels=range(43), tracks=1, frames=1, tests=43)
    write_torchvision(tmp_path, every)
    expected = {image.image_id: image for image in every}
    listed = Gtsrb(root=tmp_path).listing().images
    for split in ("train", "test"):
        samples = [(np.asarray(picture), label) for picture, label in GTSRB(str(tmp_path), split=split)]
        ours = sorted(image.image_id for image in listed if image.split == split)
        assert len(samples) == len(ours)
        for (pixels, label), image_id in zip(samples, ours, strict=True):
            assert label == expected[image_id].label
            np.testing.assert_array_equal(pixels, expected[image_id].pixels)


def test_two_layouts_at_once_are_refused(tmp_path: Path) -> None:
    """torchvision's training images are a subset of the complete ones, under other names."""
    write_torchvision(tmp_path)
    fake_gtsrb.write_official(tmp_path / "gtsrb", IMAGES)
    assert "contains both Final_Training (39,209 images) and Training (torchvision's 26,640" in refused(tmp_path)


@pytest.mark.parametrize("place", ["", "Final_Training/Images/"])
def test_the_zips_of_a_layout_of_one_zip_per_folder_are_named(place: str, tmp_path: Path) -> None:
    """The message names a zip that was found, and says to unpack the zips."""
    fake_gtsrb.write_official(tmp_path, IMAGES)
    for folder in sorted((tmp_path / "Final_Training/Images").iterdir()):
        files = {f"{folder.name}/{path.name}": path.read_bytes() for path in folder.iterdir()}
        fake_gtsrb.write_zip(tmp_path / f"{place}{folder.name}.zip", files)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    message = refused(tmp_path)
    assert "no Final_Training/Images/000NN/GT-000NN.csv" in message
    assert message.endswith(f"; unpack the 3 zips in it, such as {place}00000.zip")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((), "found nothing"),
        (("train", "valid"), "found train, valid"),
        ([f"{label}" for label in range(10, 53)], "found 10, 11, 12, 13, 14 and 38 more"),
        ((".DS_Store", "sign\x1b[2J"), "found sign\\x1b[2J"),
        (("GTSRB_Final_Test_GT.zip",), "found GTSRB_Final_Test_GT.zip"),
        (("archive.zip",), "found archive.zip; unpack archive.zip"),
    ],
)
def test_unknown_layouts_are_described(names: tuple[str, ...], found: str, tmp_path: Path) -> None:
    """The message says what was expected, how to get it, and what was found."""
    for name in names:
        (tmp_path / name).mkdir()
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path}: GTSRB not found; expected the official archives, ")
    assert message.endswith(f"downloads the official archives; {found}")


def test_layouts_with_a_column_twice_are_refused(tmp_path: Path) -> None:
    """It is ambiguous which of them is meant."""
    fake_gtsrb.write_official(tmp_path, IMAGES)
    path = tmp_path / TEST_CSV
    path.write_text("\n".join(f"{line};{line.rpartition(';')[2]}" for line in path.read_text().splitlines()))
    assert refused(tmp_path) == f"{path}: has the column ClassId twice; remove one of them"


@pytest.mark.parametrize("cell", ["53.5", "1_0", "５", "nan", "inf", "1e1", "9" * 5000, "5.", "--5", "5,0"])
def test_layouts_whose_cells_are_not_integers_are_rejected(cell: str, tmp_path: Path) -> None:
    """53.0 is an integer; other forms that int() accepts, and what pandas writes for a gap, are not."""
    fake_gtsrb.write_official(tmp_path, IMAGES)
    path = tmp_path / TEST_CSV
    lines = path.read_text().splitlines()
    lines[1] = ";".join([*lines[1].split(";")[:-1], cell])
    path.write_text("\n".join(lines) + "\n")
    (rejected,) = listing(tmp_path).rejected
    assert rejected.reason.startswith("not whole numbers: [") and len(rejected.reason) < 200
