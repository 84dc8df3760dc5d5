"""SVHN, cropped digits: house numbers from Street View images, 32 × 32, in .mat files.

Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Y. Ng, "Reading digits in natural images with unsupervised feature
learning", NIPS Workshop on Deep Learning and Unsupervised Feature Learning, 2011.
"""

from pathlib import Path
from typing import ClassVar, Literal

from pipelines.datasets.card import DatasetCard, Split
from pipelines.datasets.contract import Images, ImageSource
from pipelines.datasets.listing import Listing, Rejected, SourceImage
from pipelines.datasets.matlab import Variable, mat_variables, read_variable
from pipelines.datasets.published import Archive, Published
from pipelines.errors import SourceError
from pipelines.settings import LocalPath

__all__ = ["Svhn"]

_SIDE_PX = 32
_COUNTS = {"train": 73_257, "test": 26_032, "extra": 531_131}
_HELP = "`python jobs/download_dataset.py svhn` downloads it"


class Svhn(ImageSource):
    """Reads train_32x32.mat and test_32x32.mat in `root`. `extra` adds the easier images of extra_32x32.mat to train;
    the data set is then called svhn_extra. Label 10 in the files, the digit 0, becomes label 0.

    A task that reads images of a file keeps the whole file in memory: 0.2 GB for train, 1.6 GB for extra."""

    kind: Literal["svhn"] = "svhn"
    root: LocalPath = Path("data/raw/svhn")
    extra: bool = False

    published: ClassVar[Published] = Published(
        "http://ufldl.stanford.edu/housenumbers/",
        (
            Archive("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", 182_040_794),
            Archive("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", 64_275_384),
        ),
        optional=(Archive("extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7", 1_329_278_602),),
    )

    @property
    def dataset_name(self) -> str:
        return "svhn_extra" if self.extra else "svhn"

    @property
    def card(self) -> DatasetCard:
        extra = _COUNTS["extra"] if self.extra else 0
        return DatasetCard(
            name=self.dataset_name,
            class_names=tuple("0123456789"),
            channels=3,
            group="each image is one observation; digits of one house number are not marked as such",
            expected_classes=10,
            expected_counts={"train": _COUNTS["train"] + extra, "test": _COUNTS["test"]},
            licence="non-commercial use only",
            citation="Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Y. Ng, Reading digits in natural images "
            "with unsupervised feature learning, NIPS Workshop on Deep Learning and Unsupervised Feature Learning 2011",
        )

    def listing(self) -> Listing:
        listing = Listing(f"{self.root}, SVHN's cropped digits", self.card)
        parts: list[tuple[Split, str]] = [("train", "train"), ("test", "test")]
        if self.extra:
            parts.append(("train", "extra"))
        elif _file(self.root, "extra").is_file():
            listing.left_out.append(f"{_file(self.root, 'extra')} is not used; dataset.extra=true adds it to train")
        for split, part in parts:
            _add(listing, split, part, _file(self.root, part))
        return listing

    @classmethod
    def recognize(cls, root: Path) -> str | None:
        if all(_file(root, part).is_file() for part in ("train", "test")):
            return "train_32x32.mat and test_32x32.mat"
        return None

    def open_container(self, path: str) -> Images:
        _count(Path(path))
        return read_variable(Path(path), "X").transpose(3, 0, 1, 2)  # a view


def _file(root: Path, part: str) -> Path:
    return root / f"{part}_32x32.mat"


def _add(listing: Listing, split: Split, part: str, path: Path) -> None:
    if not path.is_file():
        raise SourceError(f"{path}: no such file; {_HELP}")
    count = _count(path)
    labels = read_variable(path, "y").ravel()
    if len(labels) != count:
        raise SourceError(f"{path}: y has {len(labels):,} labels for the {count:,} images of X")
    for index, label in enumerate(labels.tolist()):
        if label in range(1, 11):
            place = ("", str(path), index, _SIDE_PX, _SIDE_PX)
            listing.images.append(SourceImage(f"{part}/{index:06d}", int(label) % 10, split, None, *place))
        else:
            listing.rejected.append(Rejected(f"{path}[{index}]", f"label {label} is outside 1–10"))


def _count(path: Path) -> int:
    """The number of images in X."""
    variables = mat_variables(path)
    found = variables.get("X", Variable((), "missing"))
    if found.matlab_class != "uint8" or len(found.shape) != 4 or found.shape[:3] != (_SIDE_PX, _SIDE_PX, 3):
        shape = " × ".join(map(str, found.shape))
        raise SourceError(f"{path}: X is {shape or 'missing'} {found.matlab_class}, expected 32 × 32 × 3 × N uint8")
    return found.shape[3]
