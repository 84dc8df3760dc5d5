"""Reads any data set with one folder of images per class, the layout of torchvision's ImageFolder."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field, field_validator

from pipelines.datasets.card import NAME_PATTERN, NOT_STATED, DatasetCard, Split
from pipelines.datasets.class_folders import (
    class_folders,
    class_names,
    images_in,
    is_image,
    note_loose_files,
    split_folders,
)
from pipelines.datasets.contract import ImageSource
from pipelines.datasets.group_split import groups_across_splits, test_groups
from pipelines.datasets.listing import Listing, SourceImage
from pipelines.errors import SettingsError, SourceError
from pipelines.places import Place, refusing_store_errors
from pipelines.settings import StorePath

__all__ = ["ImageFolder"]

Mirror = Literal["none", "all"] | dict[str, str]


class _File(NamedTuple):
    """An image, its class and split (from its folders), and its group."""

    path: Place
    class_name: str
    split: Split | None
    group: str


class ImageFolder(ImageSource):
    """`root`/<class>/…/image, or `root`/{train,validation,test}/<class>/…/image. Labels follow the sorted
    class names. The image_id is the path relative to `root`.

    Without split folders, about `test_fraction` of each class's groups become the test split, chosen by a hash of their
    names and `split_seed`; the rest is train, from which validation is split off as for any source. `group_pattern` is
    searched for in each file name, and its named group `group` identifies the object shown; groups may span classes but
    not splits. Without a pattern each image is its own group.

    `hflip` and `vflip`: "all" if mirroring never changes the class, or a mapping from each class to the class it
    becomes; classes that are not in the mapping are not mirrored. With `channels` = 1 images are converted to grey."""

    in_object_stores: ClassVar[bool] = True
    kind: Literal["image_folder"] = "image_folder"
    root: StorePath
    name: str | None = Field(default=None, pattern=f"^{NAME_PATTERN}$")
    channels: Literal[1, 3] = 3
    group_pattern: str | None = None
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    split_seed: int = Field(default=0, ge=0)
    hflip: Mirror = "none"
    vflip: Mirror = "none"
    licence: str = NOT_STATED
    citation: str = NOT_STATED

    @field_validator("group_pattern")
    @classmethod
    def _has_a_group(cls, pattern: str | None) -> str | None:
        try:
            if pattern is not None and "group" not in re.compile(pattern).groupindex:
                raise ValueError(r"has no named group, such as (?P<group>\d+)")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern

    @property
    def dataset_name(self) -> str:
        name = self.name or self.root.resolve().name
        if not re.fullmatch(NAME_PATTERN, name):
            raise SettingsError(
                f"dataset.root={self.root}: {name!r} is not a valid name for a data set; set dataset.name"
            )
        return name

    def listing(self) -> Listing:
        with refusing_store_errors(self.root):
            return self._listing()

    def _listing(self) -> Listing:
        bases = split_folders(self.root)
        classes = {split: class_folders(base) for split, base in bases.items()}
        names = class_names(self.root, classes)
        listing = Listing(f"{self.root}, a folder of {len(names)} classes", self._card(names))
        for base in dict.fromkeys([self.root, *bases.values()]):
            note_loose_files(base, listing)
        files = [
            _File(path, name, split, self._group(path))
            for split, folders in classes.items()
            for name, folder in folders.items()
            for path in images_in(folder, listing)
        ]
        labels = {name: label for label, name in enumerate(names)}
        for file, split in zip(files, self._splits(files), strict=True):
            label, group = labels[file.class_name], file.group if self.group_pattern else None
            listing.images.append(SourceImage(self._id(file.path), label, split, group, "", str(file.path)))
        return listing

    @classmethod
    def recognize(cls, root: Place) -> str | None:
        try:
            base = split_folders(root).get("train", root)
            folders = class_folders(base)
            if len(folders) > 1 and all(any(map(is_image, folder.iterdir())) for folder in folders.values()):
                return f"{len(folders)} folders of images" + ("" if base == root else f" in {base.name}/")
        except (OSError, SourceError):
            pass
        return None

    def _card(self, names: tuple[str, ...]) -> DatasetCard:
        groups = f"images whose file names have the same group of {self.group_pattern}" if self.group_pattern else None
        return DatasetCard(
            name=self.dataset_name,
            class_names=names,
            channels=self.channels,
            group=groups or "each image is one observation",
            hflip=_label_map("hflip", self.hflip, names),
            vflip=_label_map("vflip", self.vflip, names),
            licence=self.licence,
            citation=self.citation,
        )

    def _splits(self, files: Sequence[_File]) -> list[Split]:
        given = [file.split for file in files if file.split is not None]
        if not given:
            in_test = test_groups(
                [(file.class_name, file.group) for file in files], self.test_fraction, self.split_seed
            )
            return ["test" if file.group in in_test else "train" for file in files]
        across = groups_across_splits((file.group, split) for file, split in zip(files, given, strict=True))
        if across:
            raise SourceError(
                f"{self.root}: {len(across)} groups are in more than one split folder, the first is {across[0]!r}; "
                "move each group into one of them, or remove dataset.group_pattern"
            )
        return given

    def _group(self, path: Place) -> str:
        if self.group_pattern is None:
            return self._id(path)
        match = re.search(self.group_pattern, path.name)
        if match is None or not match["group"]:
            raise SourceError(
                f"{path}: dataset.group_pattern={self.group_pattern} finds no group in this name; change the "
                "pattern so that it matches every image"
            )
        return match["group"]

    def _id(self, path: Place) -> str:
        return PurePosixPath(str(path)).relative_to(str(self.root)).as_posix()


def _label_map(key: str, mirror: Mirror, names: tuple[str, ...]) -> dict[int, int]:
    if not isinstance(mirror, dict):
        return {label: label for label in range(len(names))} if mirror == "all" else {}
    if unknown := sorted({*mirror, *mirror.values()} - set(names)):
        raise SettingsError(f"dataset.{key}: {', '.join(unknown)}: unknown class; there are: {', '.join(names)}")
    if wrong := [name for name, mirrored in mirror.items() if mirror.get(mirrored) != name]:
        raise SettingsError(
            f"dataset.{key}: {wrong[0]} is mapped to {mirror[wrong[0]]}, so {mirror[wrong[0]]} must be "
            f"mapped to {wrong[0]}"
        )
    return {names.index(name): names.index(mirrored) for name, mirrored in mirror.items()}
