"""Tiny ImageNet: 200 of ImageNet's classes, 64 × 64, from Stanford's course CS231n.

J. Deng, W. Dong, R. Socher, L.-J. Li, K. Li, L. Fei-Fei, "ImageNet: a large-scale hierarchical image database", CVPR
2009; Y. Le, X. Yang, "Tiny ImageNet visual recognition challenge", CS231n course report, Stanford University, 2015.
"""

import re
from collections import Counter
from pathlib import Path
from typing import ClassVar, Literal

from pipelines.datasets.card import NOT_STATED, DatasetCard
from pipelines.datasets.contract import ImageSource
from pipelines.datasets.files import FileReader, SourceFiles
from pipelines.datasets.listing import Listing, Location, Rejected, SourceImage
from pipelines.datasets.published import Archive, Published
from pipelines.errors import SourceError
from pipelines.settings import LocalPath

__all__ = ["TinyImagenet200"]

_FOLDER = "tiny-imagenet-200"
_ARCHIVE = "tiny-imagenet-200.zip"
_TRAIN_IMAGE = re.compile(r"train/(n\d{8})/images/([^/.][^/]*)\.JPEG")
_ANNOTATIONS = "val/val_annotations.txt"
_HELP = f"expected wnids.txt, train/ and val/ as in {_ARCHIVE}, or that archive itself"


class TinyImagenet200(ImageSource):
    """Reads the folder tiny-imagenet-200, which is `root` or a folder in it, or the zip in `root` without unpacking it.

    The publisher's val is used as test, as in most papers, since the publisher's test has no labels; validation is
    split off train. Labels follow the sorted wnids, as in torchvision's ImageFolder. Bounding boxes are not used."""

    kind: Literal["tiny_imagenet_200"] = "tiny_imagenet_200"
    root: LocalPath = Path("data/raw/tiny_imagenet_200")

    published: ClassVar[Published] = Published(
        "http://cs231n.stanford.edu/",
        (Archive(_ARCHIVE, "90528d7ca1a48142e341f4ef8d21d0de", 248_100_043),),
    )
    """The publisher states no MD5 and torchvision does not include this data set, so the MD5 is the one that the
    library Avalanche (ContinualAI) checks. The archive is read without unpacking it."""

    @property
    def dataset_name(self) -> str:
        return "tiny_imagenet_200"

    def listing(self) -> Listing:
        found, files = self._files()
        wnids = _read_wnids(files)
        names, unnamed = _class_names(files, wnids)
        card = DatasetCard(
            name=self.dataset_name,
            class_names=names,
            channels=3,
            group="each image is one observation",
            hflip={label: label for label in range(len(wnids))},
            expected_classes=200,
            expected_counts={"train": 100_000, "test": 10_000},
            licence=f"{NOT_STATED}; ImageNet's terms allow non-commercial research and education",
            citation="Y. Le, X. Yang, Tiny ImageNet visual recognition challenge, CS231n, Stanford University, 2015; "
            "J. Deng et al., ImageNet: a large-scale hierarchical image database, CVPR 2009",
        )
        listing = Listing(f"{found}, Tiny ImageNet with its val as test", card)
        if unnamed:
            listing.left_out.append(
                f"words.txt has no name for {', '.join(unnamed)}; these classes are named by their wnid"
            )
        listing.left_out.extend(files.remarks)
        labels = {wnid: label for label, wnid in enumerate(wnids)}
        _add_train(listing, files, labels)
        _add_val(listing, files, labels)
        unlabelled = sum(path.startswith("test/images/") for path in files.by_path)
        if unlabelled:
            listing.left_out.append(f"{unlabelled:,} images in test/ have no labels and are ignored")
        return listing

    @classmethod
    def recognize(cls, root: Path) -> str | None:
        for base in (root, root / _FOLDER):
            if (base / "wnids.txt").is_file() and (base / "train").is_dir():
                return "wnids.txt and train/"
        return _ARCHIVE if (root / _ARCHIVE).is_file() else None

    def _files(self) -> tuple[str, SourceFiles]:
        files = SourceFiles()
        for base in (self.root, self.root / _FOLDER):
            if (base / "wnids.txt").is_file():
                for folder in ("train", "val", "test"):
                    files.add_folder(base, folder)
                for name in ("wnids.txt", "words.txt"):
                    if (base / name).is_file():
                        files.by_path[name] = Location("", str(base / name))
                return str(base), files
        archive = self.root / _ARCHIVE
        if not archive.is_file():
            raise SourceError(f"{self.root}: Tiny ImageNet not found; {_HELP}")
        files.add_archive(archive, prefix=f"{_FOLDER}/")
        return str(archive), files


def _lines(files: SourceFiles, path: str) -> list[str]:
    if path not in files.by_path:
        raise SourceError(f"Tiny ImageNet has no {path}; {_HELP}")
    location = files.by_path[path]
    try:
        with FileReader() as reader:
            return reader.read(location).decode("utf-8-sig").splitlines()
    except Exception as error:  # noqa: BLE001 - file systems and zips raise many exception types
        raise SourceError(f"{location}: not readable: {type(error).__name__}: {error}; download it again") from None


def _read_wnids(files: SourceFiles) -> list[str]:
    wnids = [line.strip() for line in _lines(files, "wnids.txt") if line.strip()]
    location = files.by_path["wnids.txt"]
    if wrong := [wnid for wnid in wnids if not re.fullmatch(r"n\d{8}", wnid)]:
        raise SourceError(f"{location}: {wrong[0]!r} is not a wnid such as n01443537")
    if duplicates := sorted(wnid for wnid, times in Counter(wnids).items() if times > 1):
        raise SourceError(f"{location}: contains duplicates: {', '.join(duplicates)}")
    if len(wnids) < 2:
        raise SourceError(f"{location}: lists {len(wnids)} classes, expected 200, or at least 2")
    return sorted(wnids)


def _class_names(files: SourceFiles, wnids: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """The first synonym of each class, followed by its wnid if two classes share it; and the wnids without a name."""
    words = dict(line.split("\t", 1) for line in _lines(files, "words.txt") if "\t" in line)
    names = [words.get(wnid, wnid).split(",")[0].strip() or wnid for wnid in wnids]
    times = Counter(names)
    unique = (name if times[name] == 1 else f"{name} ({wnid})" for name, wnid in zip(names, wnids, strict=True))
    return tuple(unique), [wnid for wnid in wnids if wnid not in words]


def _add_train(listing: Listing, files: SourceFiles, labels: dict[str, int]) -> None:
    images = {path: match for path in files.by_path if (match := _TRAIN_IMAGE.fullmatch(path))}
    found = {match[1] for match in images.values()}
    if missing := sorted(labels.keys() - found):
        raise SourceError(
            f"{listing.found}: train/ has no image of {', '.join(missing)}; the copy is incomplete: download it again"
        )
    if unknown := sorted(found - labels.keys()):
        raise SourceError(f"{listing.found}: train/{unknown[0]} is not in wnids.txt")
    for path, match in sorted(images.items()):
        archive, file = files.by_path[path][:2]
        listing.images.append(
            SourceImage(f"train/{match[1]}/{match[2]}", labels[match[1]], "train", None, archive, file)
        )
    others = [path for path in files.by_path if path.startswith("train/") and path not in images]
    if others := sorted(path for path in others if not path.endswith("_boxes.txt")):
        listing.left_out.append(f"{len(others):,} other files in train/ are ignored: {others[0]}, …")


def _add_val(listing: Listing, files: SourceFiles, labels: dict[str, int]) -> None:
    seen: set[str] = set()
    lines = [(number, line) for number, line in enumerate(_lines(files, _ANNOTATIONS), 1) if line.strip()]
    for number, line in lines:
        name, wnid = (*line.split("\t"), "", "")[:2]
        path = f"val/images/{name}"
        if path in seen:
            reason = f"a second line for {name}; the first is used"
        elif path not in files.by_path:
            reason = f"refers to {name!r}, which is not in val/images"
        elif wnid not in labels:
            reason = f"refers to the class {wnid!r}, which is not in wnids.txt"
        else:
            archive, file = files.by_path[path][:2]
            image_id = f"val/{name.removesuffix('.JPEG')}"
            listing.images.append(SourceImage(image_id, labels[wnid], "test", None, archive, file))
            seen.add(path)
            continue
        listing.rejected.append(Rejected(f"{files.by_path[_ANNOTATIONS]} line {number}", reason))
        seen.add(path)
    for path in sorted(files.by_path):
        if path.startswith("val/images/") and path not in seen:
            listing.rejected.append(Rejected(str(files.by_path[path]), "not in val_annotations.txt"))
