"""Downloads a publisher's data set to the folder where its source looks for it by default, completely or not at all."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from pipelines.datasets import DATASETS
from pipelines.datasets.extraction import extract_safely
from pipelines.datasets.published import Archive, Published
from pipelines.datasets.transfer import TransferSettings, fetch_archive
from pipelines.errors import SourceError
from pipelines.settings import LocalPath

__all__ = ["PUBLISHED", "DownloadSettings", "archive_folder", "fetch", "missing_archives"]

PUBLISHED: dict[str, Published] = {kind: source.published for kind, source in DATASETS.items() if source.published}
"""The data sets that can be downloaded."""
_NOT_PUBLISHED = {
    "image_folder": "expected a published data set (image_folder reads your own folder: set dataset.root)",
    "synthetic_signs": "expected a published data set (synthetic_signs needs no download: it is drawn on first use)",
}
_STAMP_NAME = "download.json"


class DownloadSettings(TransferSettings):
    """`optional` also downloads the publisher's optional files, such as SVHN's extra images."""

    dataset: str = "gtsrb"
    destination: LocalPath | None = None
    base_url: str | None = Field(default=None, pattern=r"^https?://")
    optional: bool = False
    keep_archives: bool = False

    @field_validator("dataset")
    @classmethod
    def _has_a_publisher(cls, dataset: str) -> str:
        if dataset in PUBLISHED:
            return dataset
        raise ValueError(_NOT_PUBLISHED.get(dataset, f"expected one of {', '.join(PUBLISHED)}"))

    @field_validator("optional")
    @classmethod
    def _has_something_optional(cls, optional: bool, others: ValidationInfo) -> bool:
        dataset = others.data.get("dataset")
        if optional and dataset and not PUBLISHED[dataset].optional:
            raise ValueError(f"{dataset} has no optional files")
        return optional

    @property
    def published(self) -> Published:
        return PUBLISHED[self.dataset]

    def wanted(self, published: Published) -> tuple[Archive, ...]:
        return published.archives + (published.optional if self.optional else ())

    def url(self, published: Published, archive: Archive) -> str:
        return f"{(self.base_url or published.base_url).rstrip('/')}/{archive.name}"

    def folder(self) -> Path:
        """Where the data set is put: `destination`, or by default the default root of its source."""
        folder: Path = self.destination or DATASETS[self.dataset].model_fields["root"].default
        return folder.resolve()


def archive_folder(destination: Path) -> Path:
    """The folder for complete and partial archives until `destination` is finished: its sibling NAME-archives."""
    return destination.with_name(f"{destination.name}-archives")


def fetch(settings: DownloadSettings, published: Published) -> bool:
    """Makes the data set at settings.folder(), or adds the optional files to it; False if all of it already existed.

    Raises SourceError if something else is in that folder, or if an archive cannot be downloaded, verified or unpacked.
    """
    destination = settings.folder()
    try:
        archives = missing_archives(settings, published)
        if not archives:
            return False
        folder = archive_folder(destination)
        folder.mkdir(parents=True, exist_ok=True)
        for archive in archives:
            fetch_archive(settings, settings.url(published, archive), archive, folder)
        _build_dataset(archives, folder, destination)
        if not settings.keep_archives:
            for archive in archives:
                (folder / archive.name).unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        place = error.filename or destination
        raise SourceError(f"{place}: {error.strerror or error}; make room, or set destination=FOLDER") from None
    return True


def missing_archives(settings: DownloadSettings, published: Published) -> Sequence[Archive]:
    """The archives that are not in the data set yet. Raises SourceError if something else is in its folder."""
    destination, wanted = settings.folder(), settings.wanted(published)
    stamp = destination / _STAMP_NAME
    if stamp.is_file():
        found = _read_stamp(stamp)
        required, known = _md5s(published.archives), _md5s(published.archives + published.optional)
        if not required.items() <= found.items() <= known.items():
            raise SourceError(f"{stamp}: lists different archives; move {destination} away, or set destination=FOLDER")
        return [archive for archive in wanted if archive.name not in found]
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        reason = f"exists, but has no {_STAMP_NAME}, which a finished download has"
        raise SourceError(f"{destination}: {reason}; move it away, or set destination=FOLDER")
    return wanted


def _read_stamp(stamp: Path) -> dict[str, str]:
    """The MD5 of each archive by name; empty if the file is not a valid stamp."""
    try:
        found = json.loads(stamp.read_bytes())["md5"]
        return {str(name): str(md5) for name, md5 in found.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _md5s(archives: Sequence[Archive]) -> dict[str, str]:
    return {archive.name: archive.md5 for archive in archives}


def _build_dataset(archives: Sequence[Archive], folder: Path, destination: Path) -> None:
    work = destination.with_name(f".{destination.name}.extracting")
    shutil.rmtree(work, ignore_errors=True)
    dataset, stamp = work / "dataset", destination / _STAMP_NAME
    finished = _read_stamp(stamp) if stamp.is_file() else {}
    try:
        for archive in archives:
            target = dataset / archive.folder
            target.mkdir(parents=True, exist_ok=True)
            if archive.packed:
                extract_safely(folder / archive.name, target, strip_prefix=archive.strip_prefix)
            else:
                _link_or_copy(folder / archive.name, target / archive.name)
        new_stamp = dataset / _STAMP_NAME
        new_stamp.write_text(json.dumps({"md5": finished | _md5s(archives)}, indent=2) + "\n", encoding="utf-8")
        if finished:
            for archive in archives:
                (dataset / archive.folder / archive.name).replace(destination / archive.folder / archive.name)
            new_stamp.replace(stamp)
        else:
            dataset.replace(destination)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _link_or_copy(archive: Path, target: Path) -> None:
    """Puts `archive` at `target` and keeps it, so that a killed run still has it. A hard link needs no disk space."""
    try:
        target.hardlink_to(archive.resolve())
    except OSError:
        shutil.copyfile(archive, target)
