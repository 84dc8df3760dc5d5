"""The official GTSRB archives: fetched with retry and resume, verified by MD5, unpacked wholly or not at all."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import requests
from pydantic import Field
from requests.exceptions import ChunkedEncodingError
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from pipelines.console import make_console
from pipelines.datasets.extraction import extract_safely
from pipelines.errors import SourceError
from pipelines.settings import LocalPath, Settings

__all__ = [
    "GTSRB_ARCHIVES",
    "Archive",
    "DownloadSettings",
    "archive_folder",
    "fetch",
    "fetch_archive",
]

STAMP_NAME = "download.json"
MOST_BACKOFF_S = 60.0
CHUNK_BYTES = 2**16


class Archive(NamedTuple):
    """A zip of a dataset; its members, without a leading GTSRB/, go under `folder` of the dataset."""

    name: str
    md5: str
    size_bytes: int
    folder: str = "."


GTSRB_ARCHIVES = (
    Archive("GTSRB_Final_Training_Images.zip", "f33fd80ac59bff73c82d25ab499e03a3", 276_294_756),
    Archive("GTSRB_Final_Test_Images.zip", "c7e4e6327067d32654124b0fe9e82185", 88_978_620),
    Archive("GTSRB_Final_Test_GT.zip", "fe31e9c9270bbcd7b84b7f21a9d9d9e5", 99_620, folder="Final_Test/Images"),
)
"""The benchmark: 39,209 training and 12,630 test images, and the classes of the latter.

Host, test archives and their MD5s are those of torchvision.datasets.GTSRB. Its training archive is not taken:
GTSRB-Training_fixed.zip holds the 26,640 images of the 2011 online competition.
"""


class DownloadSettings(Settings):
    """`timeout_s` bounds connecting and each wait for data; `backoff_s` is the first wait, then doubled up to 60 s."""

    dataset: Literal["gtsrb"] = "gtsrb"
    destination: LocalPath = Path("data/raw/GTSRB")
    base_url: str = Field(
        default="https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/", pattern=r"^https?://"
    )
    attempts: int = Field(default=5, ge=1)
    timeout_s: float = Field(default=30.0, gt=0, le=600)
    backoff_s: float = Field(default=1.0, gt=0, le=MOST_BACKOFF_S)
    keep_archives: bool = False

    def url(self, archive: Archive) -> str:
        return f"{self.base_url.rstrip('/')}/{archive.name}"


class _RetryableError(Exception):
    """An answer that the next attempt may better."""


_RETRIED = (_RetryableError, requests.ConnectionError, requests.Timeout, ChunkedEncodingError)


def archive_folder(destination: Path) -> Path:
    """Where the archives are, whole or in part, while `destination` is not finished: its sibling NAME-archives."""
    return destination.with_name(f"{destination.name}-archives")


def fetch(settings: DownloadSettings, archives: Sequence[Archive]) -> bool:
    """Makes the dataset at settings.destination; False where it was there already.

    Raises SourceError where something else is there, or where the archives cannot be had, verified or unpacked.
    """
    destination = settings.destination.resolve()
    try:
        if _is_finished(destination, archives):
            return False
        folder = archive_folder(destination)
        folder.mkdir(parents=True, exist_ok=True)
        for archive in archives:
            fetch_archive(settings, archive, folder)
        _unpack(archives, folder, destination)
        if not settings.keep_archives:
            for archive in archives:
                (folder / archive.name).unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        place = error.filename or destination
        raise SourceError(f"{place}: {error.strerror or error}; make room, or set destination=FOLDER") from None
    return True


def fetch_archive(settings: DownloadSettings, archive: Archive, folder: Path) -> None:
    """folder/NAME with the MD5 of `archive`, resuming folder/NAME.part; one that is there already is not fetched.

    Raises SourceError, naming the URL, after settings.attempts attempts or at an answer that no retry will change;
    OSError where `folder` cannot be written.
    """
    target, url = folder / archive.name, settings.url(archive)
    if target.is_file() and _md5(target) == archive.md5:
        return
    part = target.with_name(f"{target.name}.part")
    with _progress(archive.name) as progress:
        try:
            _retrying(settings, progress)(_attempt, url, part, archive.md5, settings.timeout_s, progress)
        except _RETRIED as error:
            kept_bytes = part.stat().st_size if part.exists() else 0
            kept = f"run again to resume after the {kept_bytes:,} bytes in {part}" if kept_bytes else "run again later"
            raise SourceError(f"{url}: {error} ({settings.attempts} attempts); {kept}") from None
        except requests.RequestException as error:
            raise SourceError(f"{url}: {error}; check base_url") from None
    part.replace(target)


def _is_finished(destination: Path, archives: Sequence[Archive]) -> bool:
    stamp = destination / STAMP_NAME
    if stamp.is_file():
        try:
            found = json.loads(stamp.read_bytes())["md5"]
        except (ValueError, TypeError, KeyError):
            found = None
        if found != {archive.name: archive.md5 for archive in archives}:
            raise SourceError(f"{stamp}: names other archives; move {destination} away, or set destination=FOLDER")
        return True
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        reason = f"exists, and has no {STAMP_NAME} of a finished download"
        raise SourceError(f"{destination}: {reason}; move it away, or set destination=FOLDER")
    return False


def _unpack(archives: Sequence[Archive], folder: Path, destination: Path) -> None:
    work = destination.with_name(f".{destination.name}.extracting")
    shutil.rmtree(work, ignore_errors=True)
    dataset = work / "dataset"
    try:
        for archive in archives:
            extract_safely(folder / archive.name, dataset / archive.folder, strip_prefix="GTSRB/")
        stamp = {"md5": {archive.name: archive.md5 for archive in archives}}
        (dataset / STAMP_NAME).write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
        dataset.replace(destination)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _retrying(settings: DownloadSettings, progress: Progress) -> Retrying:
    def report(state: RetryCallState) -> None:
        reason = state.outcome.exception() if state.outcome else None
        progress.console.print(f"attempt {state.attempt_number} of {settings.attempts}: {reason}")

    return Retrying(
        stop=stop_after_attempt(settings.attempts),
        wait=wait_exponential(settings.backoff_s, max=MOST_BACKOFF_S) + wait_random(0, settings.backoff_s),
        retry=retry_if_exception_type(_RETRIED),
        before_sleep=report,
        reraise=True,
    )


def _attempt(url: str, part: Path, md5: str, timeout_s: float, progress: Progress) -> None:
    have_bytes = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have_bytes}-"} if have_bytes else {})
    with requests.get(url, headers=headers, stream=True, timeout=timeout_s) as response:
        status = f"the server answered {response.status_code} {response.reason}"
        if response.status_code == 429 or response.status_code >= 500:
            raise _RetryableError(status)
        if response.ok:
            _receive(response, part, have_bytes if response.status_code == 206 else 0, progress)
        elif not (have_bytes and response.status_code == 416):  # 416: nothing is left to send
            raise SourceError(f"{url}: {status}; check base_url")
    found = _md5(part)
    if found != md5:
        part.unlink()
        raise _RetryableError(f"what came has MD5 {found}, expected {md5}, and is deleted")


def _receive(response: requests.Response, part: Path, start_bytes: int, progress: Progress) -> None:
    length = response.headers.get("Content-Length", "")
    left_bytes = int(length) if length.isdigit() else 0
    free_bytes = shutil.disk_usage(part.parent).free
    if left_bytes > free_bytes:
        need = f"{left_bytes:,} bytes are to come and {free_bytes:,} are free"
        raise SourceError(f"{part}: {need}; make room, or set destination=FOLDER")
    task = progress.task_ids[0]
    progress.reset(task, completed=start_bytes, total=start_bytes + left_bytes)
    with part.open("ab" if start_bytes else "wb") as file:
        for chunk in response.iter_content(CHUNK_BYTES):
            file.write(chunk)
            progress.advance(task, len(chunk))


def _progress(name: str) -> Progress:
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    progress = Progress(TextColumn("{task.description}", markup=False), *columns, console=make_console(stderr=True))
    progress.add_task(name, total=None)
    return progress


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
