"""The German Traffic Sign Recognition Benchmark (GTSRB), in its official and other common layouts.

J. Stallkamp, M. Schlipsing, J. Salmen, C. Igel, "Man vs. computer: Benchmarking machine learning algorithms for traffic
sign recognition", Neural Networks 32, 2012.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pipelines.datasets.card import DatasetCard, Split
from pipelines.datasets.contract import ImageSource
from pipelines.datasets.files import FileReader, SourceFiles, unpack_hint
from pipelines.datasets.gtsrb_annotations import Annotation, AnnotationFile, read_annotations
from pipelines.datasets.gtsrb_card import CLASS_NAMES, DRAWN_STAMP, GTSRB_CARD
from pipelines.datasets.gtsrb_published import GTSRB_PUBLISHED
from pipelines.datasets.listing import Listing, Location, Rejected, SourceImage
from pipelines.datasets.published import Published
from pipelines.errors import SourceError
from pipelines.places import Place, refusing_store_errors
from pipelines.settings import StorePath

__all__ = ["Gtsrb"]

_ARCHIVES = (
    "GTSRB_Final_Training_Images.zip", "GTSRB_Final_Test_Images.zip", "GTSRB_Final_Test_GT.zip",
    "GTSRB-Training_fixed.zip",
)  # fmt: skip
"""torchvision downloads the last one: the 26,640 training images of the online competition, in the folder Training."""
_TEST_ANNOTATIONS = ("Final_Test/Images/GT-final_test.csv", "Final_Test/GT-final_test.csv", "GT-final_test.csv")
_TRAIN_ANNOTATIONS = re.compile(r"(Final_Training/Images|Training)/\d{5}/GT-\d{5}\.csv")
_TRAIN_NAME = re.compile(
    r"(?:(?:Final_Training/Images|Training)/(\d{5})/|Train/(\d{1,2})/(\d{5})_)(\d{5})_(\d{5})\.\w+"
)
_TEST_NAME = re.compile(r"(?:Final_Test/Images|Test)/(\d{5})\.\w+")
_MAX_PX = 4096
_IMAGE_SUFFIXES = (".ppm", ".png", ".jpg", ".jpeg", ".bmp")
_HELP = (
    "expected the official archives, their folders Final_Training and Final_Test, torchvision's download, or Kaggle's "
    "Train.csv and Test.csv; `python jobs/download_dataset.py gtsrb` downloads the official archives"
)


class Gtsrb(ImageSource):
    """Detects the layout under `root`, or under its folder GTSRB or gtsrb: the official zips as downloaded, the
    official folders, a mixture of both, torchvision's download, or Kaggle's copy. An image has the same image_id in
    each layout except torchvision's, which numbers tracks differently.

    A copy that lacks one of the 43 classes is refused, unless `allow_missing_classes` is set."""

    published: ClassVar[Published] = GTSRB_PUBLISHED
    in_object_stores: ClassVar[bool] = True
    kind: Literal["gtsrb"] = "gtsrb"
    root: StorePath = Path("data/raw/GTSRB")
    allow_missing_classes: bool = False

    card: ClassVar[DatasetCard] = GTSRB_CARD

    @property
    def dataset_name(self) -> str:
        return self.card.name

    def listing(self) -> Listing:
        """Every annotated image. Raises SourceError if GTSRB is missing or incomplete."""
        with refusing_store_errors(self.root):
            listing = self._listing()
        missing = listing.missing_classes()
        if missing and not self.allow_missing_classes:
            raise SourceError(f"{listing.found}: {_missing_classes_message(missing, listing.rejected)}")
        return listing

    @classmethod
    def recognize(cls, root: Place) -> str | None:
        """Recognizes the official archives and folders, torchvision's download and Kaggle's tables, in `root` or a
        folder GTSRB in it."""
        for base in (root, root / "GTSRB", root / "gtsrb", root / "gtsrb" / "GTSRB"):
            for name in (*_ARCHIVES, "Final_Training", "Training", "Train.csv"):
                if (base / name).exists() and not (base / DRAWN_STAMP).exists():
                    return f"GTSRB's {name}"
        return None

    def _listing(self) -> Listing:
        incomplete = None
        for base in (self.root, self.root / "GTSRB", self.root / "gtsrb"):
            official = _official_files(base)
            kaggle = next((folder for folder in (base, base / "GTSRB") if (folder / "Train.csv").is_file()), None)
            if official.by_path and kaggle:
                raise SourceError(
                    f"{base}: contains both the official files and Kaggle's; set dataset.root to one of them"
                )
            if kaggle:
                return _list_kaggle(kaggle)
            if any(_TRAIN_ANNOTATIONS.fullmatch(path) for path in official.by_path):
                return _list_official(base, official)
            if official.by_path:
                incomplete = incomplete or base
        if incomplete:
            raise SourceError(
                f"{incomplete}: no Final_Training/Images/000NN/GT-000NN.csv, in folders or in {_ARCHIVES[0]}; "
                f"{_HELP}; {_contents(incomplete)}"
            )
        raise SourceError(f"{self.root}: GTSRB not found; {_HELP}; {_contents(self.root)}")


def _missing_classes_message(missing: Mapping[Split, list[int]], rejected: list[Rejected]) -> str:
    classes = "; ".join(f"no {split} image of class {', '.join(map(str, labels))}" for split, labels in missing.items())
    cause = f"; {len(rejected)} lines or files are unusable, the first is {': '.join(rejected[0])}" if rejected else ""
    return (
        f"{classes}{cause}; the copy is incomplete: download it again, or set "
        "dataset.allow_missing_classes=true if only some of the classes are wanted"
    )


def _contents(folder: Place) -> str:
    if not folder.is_dir():
        return f"the folder {folder} does not exist"
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    names = [name if name.isprintable() else ascii(name)[1:-1] for name in names]
    more = f" and {len(names) - 5} more" if names[5:] else ""
    return f"found {', '.join(names[:5]) or 'nothing'}{more}{unpack_hint(folder, _ARCHIVES)}"


def _official_files(base: Place) -> SourceFiles:
    """The official files in `base` and in its folder GTSRB, to which the archives unpack; torchvision puts
    GT-final_test.csv next to that folder."""
    files = SourceFiles()
    for folder in (base / "GTSRB", base):
        for archive in _ARCHIVES:
            if (folder / archive).is_file():
                files.add_archive(folder / archive, prefix="GTSRB/")
    for folder in (base / "GTSRB", base):
        for name in ("Final_Training", "Final_Test", "Training"):
            files.add_folder(folder, name)
    for folder in (base.parent, base / "GTSRB", base):
        if (folder / "GT-final_test.csv").is_file():
            files.by_path["GT-final_test.csv"] = Location("", str(folder / "GT-final_test.csv"))
    return files


def _list_official(base: Place, files: SourceFiles) -> Listing:
    training = sorted(path for path in files.by_path if _TRAIN_ANNOTATIONS.fullmatch(path))
    test = next((path for path in _TEST_ANNOTATIONS if path in files.by_path), None)
    if test is None:
        raise SourceError(
            f"{base}: no GT-final_test.csv, in Final_Test/Images or in {_ARCHIVES[2]}; {_HELP}; {_contents(base)}"
        )
    if len({path.partition("/")[0] for path in training}) > 1:
        raise SourceError(
            f"{base}: contains both Final_Training (39,209 images) and Training (torchvision's 26,640 of them); "
            "move one of them away"
        )
    archived = sorted({Path(location.archive).name for location in files.by_path.values() if location.archive})
    annotations = [AnnotationFile(files.by_path[path], "Filename", _image_folder(path)) for path in (*training, test)]
    return _match(f"{base}, official {'zips ' + ', '.join(archived) if archived else 'folders'}", files, annotations)


def _image_folder(annotations: str) -> str:
    return "Final_Test/Images/" if "final_test" in annotations else annotations.rpartition("/")[0] + "/"


def _list_kaggle(base: Place) -> Listing:
    if not (base / "Test.csv").is_file():
        raise SourceError(f"{base}: has Kaggle's Train.csv but no Test.csv; {_HELP}; {_contents(base)}")
    files = SourceFiles()
    files.add_folder(base, "Train")
    files.add_folder(base, "Test")
    annotations = [AnnotationFile(Location("", str(base / name)), "Path", "") for name in ("Train.csv", "Test.csv")]
    return _match(f"{base}, Kaggle's layout", files, annotations)


def _match(found: str, files: SourceFiles, annotation_files: list[AnnotationFile]) -> Listing:
    empty = [folder for folder in files.empty_folders if re.search(r"(Images|Train|Training)/\d{1,5}$", folder)]
    if empty:
        raise SourceError(
            f"{found}: class folder {', '.join(empty)} is empty; the copy is incomplete: download it again"
        )
    listing = Listing(found, GTSRB_CARD, rejected=list(files.unusable), left_out=files.remarks)
    lower_case = {path.lower(): path for path in files.by_path}
    named: set[str] = set()
    accepted: set[str] = set()
    with FileReader() as reader:
        for line in read_annotations(reader, annotation_files):
            path = line.image if line.image in files.by_path else lower_case.get(line.image.lower(), line.image)
            annotation = line._replace(image=path)  # the file may be named 00000.PPM
            named.add(annotation.image)
            image = _source_image(annotation, files, accepted)
            if isinstance(image, SourceImage) and image.image_id in accepted:
                image = Rejected(annotation.where, f"a second file for {image.image_id}; the first is used")
            if isinstance(image, Rejected):
                listing.rejected.append(image)
            else:
                listing.images.append(image)
                accepted.update((annotation.image, image.image_id))
    for path in sorted(files.by_path.keys() - named):
        if path.lower().endswith(_IMAGE_SUFFIXES):
            listing.rejected.append(Rejected(str(files.by_path[path]), "not in any annotation file"))
    return listing


def _source_image(annotation: Annotation, files: SourceFiles, accepted: set[str]) -> SourceImage | Rejected:
    if annotation.numbers is None:
        return Rejected(annotation.where, f"not whole numbers: {[cell and cell[:40] for cell in annotation.cells]}")
    width, height, x1, y1, x2, y2, label = annotation.numbers
    train, test = _TRAIN_NAME.fullmatch(annotation.image), _TEST_NAME.fullmatch(annotation.image)
    if annotation.image in accepted:
        return Rejected(annotation.where, f"a second line for {annotation.image}; the first is used")
    if annotation.image not in files.by_path:
        return Rejected(annotation.where, f"names {annotation.image}, which does not exist")
    if not 0 <= label < len(CLASS_NAMES):
        return Rejected(annotation.where, f"label {label} is outside 0–{len(CLASS_NAMES) - 1}")
    if max(width, height) > _MAX_PX:
        return Rejected(annotation.where, f"{width} × {height} exceeds {_MAX_PX} px per side")
    if not (0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height):
        return Rejected(annotation.where, f"region ({x1}, {y1})–({x2}, {y2}) is not inside {width} × {height}")
    place = (*files.by_path[annotation.image], width, height, x1, y1, x2, y2)
    if test:
        return SourceImage(f"test/{test[1]}", label, "test", None, *place)
    if train is None:
        return Rejected(annotation.where, f"{annotation.image} is not named <track>_<frame>")
    folder, kaggle_folder, kaggle_prefix, track, frame = train.groups()
    if {int(part) for part in (folder, kaggle_folder, kaggle_prefix) if part} != {label}:
        return Rejected(annotation.where, f"label {label}, but the name {annotation.image} says another class")
    return SourceImage(f"train/{label:05d}/{track}_{frame}", label, "train", f"{label:05d}/{track}", *place)
