"""The German Traffic Sign Recognition Benchmark, as published and as people have it.

J. Stallkamp, M. Schlipsing, J. Salmen, C. Igel, "Man vs. computer: Benchmarking machine learning algorithms for traffic
sign recognition", Neural Networks 32, 2012.
"""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pipelines.datasets.files import FileReader, Location, SourceFiles
from pipelines.datasets.listing import Listing, Rejected, SourceImage
from pipelines.errors import SourceError
from pipelines.settings import LocalPath, Settings

__all__ = ["CLASS_NAMES", "Gtsrb"]

CLASS_NAMES = (
    "Speed limit (20km/h)", "Speed limit (30km/h)", "Speed limit (50km/h)", "Speed limit (60km/h)",
    "Speed limit (70km/h)", "Speed limit (80km/h)", "End of speed limit (80km/h)", "Speed limit (100km/h)",
    "Speed limit (120km/h)", "No passing", "No passing for vehicles over 3.5 metric tons",
    "Right-of-way at the next intersection", "Priority road", "Yield", "Stop", "No vehicles",
    "Vehicles over 3.5 metric tons prohibited", "No entry", "General caution", "Dangerous curve to the left",
    "Dangerous curve to the right", "Double curve", "Bumpy road", "Slippery road", "Road narrows on the right",
    "Road work", "Traffic signals", "Pedestrians", "Children crossing", "Bicycles crossing", "Beware of ice/snow",
    "Wild animals crossing", "End of all speed and passing limits", "Turn right ahead", "Turn left ahead", "Ahead only",
    "Go straight or right", "Go straight or left", "Keep right", "Keep left", "Roundabout mandatory",
    "End of no passing", "End of no passing by vehicles over 3.5 metric tons",
)  # fmt: skip
"""By label (paper, Table 1)."""

_ARCHIVES = ("GTSRB_Final_Training_Images.zip", "GTSRB_Final_Test_Images.zip", "GTSRB_Final_Test_GT.zip")
_TEST_ANNOTATIONS = ("Final_Test/Images/GT-final_test.csv", "Final_Test/GT-final_test.csv", "GT-final_test.csv")
_TRAIN_NAME = re.compile(r"(?:Final_Training/Images/(\d{5})/|Train/(\d{1,2})/(\d{5})_)(\d{5})_(\d{5})\.\w+")
_TEST_NAME = re.compile(r"(?:Final_Test/Images|Test)/(\d{5})\.\w+")
_MOST_PX = 4096
_IMAGE_SUFFIXES = (".ppm", ".png", ".jpg", ".jpeg", ".bmp")
_NUMBERS = ("Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId")
_HELP = (
    "expected the official archives, their folders Final_Training and Final_Test, or Kaggle's Train.csv and Test.csv; "
    "`python jobs/download_dataset.py gtsrb` fetches the official archives"
)


class _Annotation(NamedTuple):
    """A line of a CSV file: where it stands, the image that it speaks of, and what it says."""

    where: str
    image: str
    fields: dict[str, str]


class Gtsrb(Settings):
    """Finds by looking which layout lies under `root` (or root/GTSRB): the three official zips as downloaded, the
    official folders, a mixture of both, or Kaggle's copy. The same pixels have the same image_id in each."""

    kind: Literal["gtsrb"] = "gtsrb"
    root: LocalPath = Path("data/raw/GTSRB")

    def listing(self) -> Listing:
        """Every annotated image. Raises SourceError where there is no GTSRB, or only a part of it."""
        for base in (self.root, self.root / "GTSRB"):
            official, kaggle = _official_files(base), (base / "Train.csv").is_file()
            if official.by_path and kaggle:
                raise SourceError(
                    f"{base}: holds both the official files and Kaggle's; point dataset.root at one of them"
                )
            if official.by_path:
                return _list_official(base, official)
            if kaggle:
                return _list_kaggle(base)
        raise SourceError(f"{self.root}: holds no GTSRB; {_HELP}")


def _official_files(base: Path) -> SourceFiles:
    files = SourceFiles()
    for archive in _ARCHIVES:
        if (base / archive).is_file():
            files.add_archive(base / archive, prefix="GTSRB/")
    for folder in ("Final_Training", "Final_Test"):
        files.add_folder(base, folder)
    if (base / "GT-final_test.csv").is_file():
        files.by_path["GT-final_test.csv"] = Location("", str(base / "GT-final_test.csv"))
    return files


def _list_official(base: Path, files: SourceFiles) -> Listing:
    training = sorted(
        path for path in files.by_path if re.fullmatch(r"Final_Training/Images/\d{5}/GT-\d{5}\.csv", path)
    )
    test = next((path for path in _TEST_ANNOTATIONS if path in files.by_path), None)
    if not training:
        raise SourceError(
            f"{base}: no Final_Training/Images/000NN/GT-000NN.csv, in folders or in {_ARCHIVES[0]}; {_HELP}"
        )
    if test is None:
        raise SourceError(f"{base}: no GT-final_test.csv, in Final_Test/Images or in {_ARCHIVES[2]}; {_HELP}")
    archived = sorted({Path(location.archive).name for location in files.by_path.values() if location.archive})
    with FileReader() as reader:
        annotations = [
            annotation
            for path in (*training, test)
            for annotation in _read_csv(reader, files.by_path[path], ";", "Filename", _image_folder(path))
        ]
    return _match(f"{base}, official {'zips ' + ', '.join(archived) if archived else 'folders'}", files, annotations)


def _image_folder(annotations: str) -> str:
    return "Final_Test/Images/" if "final_test" in annotations else annotations.rpartition("/")[0] + "/"


def _list_kaggle(base: Path) -> Listing:
    if not (base / "Test.csv").is_file():
        raise SourceError(f"{base}: has Kaggle's Train.csv but no Test.csv; {_HELP}")
    files = SourceFiles()
    files.add_folder(base, "Train")
    files.add_folder(base, "Test")
    with FileReader() as reader:
        annotations = [
            annotation
            for name in ("Train.csv", "Test.csv")
            for annotation in _read_csv(reader, Location("", str(base / name)), ",", "Path", "")
        ]
    return _match(f"{base}, Kaggle's layout", files, annotations)


def _read_csv(
    reader: FileReader, location: Location, delimiter: str, image_column: str, folder: str
) -> Iterator[_Annotation]:
    try:
        rows = csv.DictReader(io.StringIO(reader.read(location).decode("utf-8-sig")), delimiter=delimiter)
        missing = {image_column, *_NUMBERS} - set(rows.fieldnames or ())
        lines = [(rows.line_num, row) for row in rows]
    except Exception as error:  # noqa: BLE001 - file systems, damaged zips and the csv module fail in many types
        raise SourceError(f"{location}: not readable as CSV: {type(error).__name__}: {error}") from None
    if missing:
        raise SourceError(f"{location}: has no column {', '.join(sorted(missing))}; it has {rows.fieldnames}")
    for number, row in lines:
        yield _Annotation(f"{location} line {number}", folder + (row[image_column] or ""), row)


def _match(found: str, files: SourceFiles, annotations: list[_Annotation]) -> Listing:
    empty = [folder for folder in files.empty_folders if re.search(r"(Images|Train)/\d{1,5}$", folder)]
    if empty:
        raise SourceError(
            f"{found}: class folder {', '.join(empty)} is empty; the copy is not complete, fetch it again"
        )
    listing = Listing(found, CLASS_NAMES)
    accepted: set[str] = set()
    for annotation in annotations:
        image = _source_image(annotation, files, accepted)
        if isinstance(image, SourceImage) and image.image_id in accepted:
            image = Rejected(annotation.where, f"a second file for {image.image_id}; the first is kept")
        if isinstance(image, Rejected):
            listing.rejected.append(image)
        else:
            listing.images.append(image)
            accepted.update((annotation.image, image.image_id))
    for path in sorted(files.by_path.keys() - {annotation.image for annotation in annotations}):
        if path.lower().endswith(_IMAGE_SUFFIXES):
            listing.rejected.append(Rejected(str(files.by_path[path]), "no line of an annotation file names it"))
    return listing


def _source_image(annotation: _Annotation, files: SourceFiles, accepted: set[str]) -> SourceImage | Rejected:
    try:
        width, height, x1, y1, x2, y2, label = (int(annotation.fields[name] or "") for name in _NUMBERS)
    except (ValueError, TypeError):
        return Rejected(annotation.where, f"not whole numbers: {[annotation.fields[name] for name in _NUMBERS]}")
    train, test = _TRAIN_NAME.fullmatch(annotation.image), _TEST_NAME.fullmatch(annotation.image)
    if annotation.image in accepted:
        return Rejected(annotation.where, f"a second line for {annotation.image}; the first is kept")
    if annotation.image not in files.by_path:
        return Rejected(annotation.where, f"names {annotation.image}, which does not exist")
    if not 0 <= label < len(CLASS_NAMES):
        return Rejected(annotation.where, f"label {label} is outside 0–{len(CLASS_NAMES) - 1}")
    if max(width, height) > _MOST_PX:
        return Rejected(annotation.where, f"{width} × {height} is no picture of a road sign")
    if not (0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height):
        return Rejected(annotation.where, f"region ({x1}, {y1})–({x2}, {y2}) is not inside {width} × {height}")
    numbers = (*files.by_path[annotation.image], width, height, x1, y1, x2, y2)
    if test:
        return SourceImage(f"test/{test[1]}", label, "test", "", *numbers)
    if train is None:
        return Rejected(annotation.where, f"{annotation.image} is not named <track>_<frame>")
    folder, kaggle_folder, kaggle_prefix, track, frame = train.groups()
    if {int(part) for part in (folder, kaggle_folder, kaggle_prefix) if part} != {label}:
        return Rejected(annotation.where, f"label {label}, but {annotation.image} is of another class by its name")
    return SourceImage(f"train/{label:05d}/{track}_{frame}", label, "train", f"{label:05d}/{track}", *numbers)
