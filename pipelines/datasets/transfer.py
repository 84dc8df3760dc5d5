"""Downloads one file from a web server with retries and resumption, a size limit and an MD5 check."""

import hashlib
import shutil
from pathlib import Path

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
from pipelines.datasets.published import Archive
from pipelines.errors import SourceError
from pipelines.settings import Settings

__all__ = ["TransferSettings", "fetch_archive"]

MAX_BACKOFF_S = 60.0
CHUNK_BYTES = 2**16


class TransferSettings(Settings):
    """`timeout_s` limits connecting and each wait for data. `backoff_s` is the first delay between attempts, doubled
    after each up to 60 s."""

    attempts: int = Field(default=5, ge=1)
    timeout_s: float = Field(default=30.0, gt=0, le=600)
    backoff_s: float = Field(default=1.0, gt=0, le=MAX_BACKOFF_S)


class _RetryableError(Exception):
    """A failure that another attempt may avoid."""


_RETRIED = (_RetryableError, requests.ConnectionError, requests.Timeout, ChunkedEncodingError)


def fetch_archive(settings: TransferSettings, url: str, archive: Archive, folder: Path) -> None:
    """Downloads `archive` to folder/NAME, resuming folder/NAME.part; a file with the right MD5 is not downloaded again.

    Raises SourceError, which names the URL, after settings.attempts attempts or for an error that a retry cannot fix;
    OSError if `folder` cannot be written.
    """
    target = folder / archive.name
    if target.is_file() and _md5(target) == archive.md5:
        return
    part = target.with_name(f"{target.name}.part")
    with _progress(archive.name) as progress:
        try:
            _retrying(settings, progress)(_attempt, url, part, archive, settings.timeout_s, progress)
        except _RETRIED as error:
            kept_bytes = part.stat().st_size if part.exists() else 0
            kept = f"run again to resume after the {kept_bytes:,} bytes in {part}" if kept_bytes else "run again later"
            raise SourceError(f"{url}: {error} ({settings.attempts} attempts); {kept}") from None
        except requests.RequestException as error:
            raise SourceError(f"{url}: {error}; check base_url") from None
    part.replace(target)


def _retrying(settings: TransferSettings, progress: Progress) -> Retrying:
    def report(state: RetryCallState) -> None:
        reason = state.outcome.exception() if state.outcome else None
        progress.console.print(f"attempt {state.attempt_number} of {settings.attempts}: {reason}")

    return Retrying(
        stop=stop_after_attempt(settings.attempts),
        wait=wait_exponential(settings.backoff_s, max=MAX_BACKOFF_S) + wait_random(0, settings.backoff_s),
        retry=retry_if_exception_type(_RETRIED),
        before_sleep=report,
        reraise=True,
    )


def _attempt(url: str, part: Path, archive: Archive, timeout_s: float, progress: Progress) -> None:
    have_bytes = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have_bytes}-"} if have_bytes else {})
    with requests.get(url, headers=headers, stream=True, timeout=timeout_s) as response:
        status = f"the server answered {response.status_code} {response.reason}"
        if response.status_code == 429 or response.status_code >= 500:
            raise _RetryableError(status)
        if response.ok:
            _receive(response, part, have_bytes if response.status_code == 206 else 0, archive.size_bytes, progress)
        elif not (have_bytes and response.status_code == 416):  # 416: the file is already complete
            raise SourceError(f"{url}: {status}; check base_url")
    found = _md5(part)
    if found != archive.md5:
        part.unlink()
        raise _RetryableError(f"the file received has MD5 {found}, expected {archive.md5}; it was deleted")


def _receive(response: requests.Response, part: Path, start_bytes: int, max_bytes: int, progress: Progress) -> None:
    length = response.headers.get("Content-Length", "")
    left_bytes = int(length) if length.isdigit() else 0
    free_bytes = shutil.disk_usage(part.parent).free
    if left_bytes > free_bytes:
        need = f"{left_bytes:,} more bytes are needed, but {free_bytes:,} are free"
        raise SourceError(f"{part}: {need}; make room, or set destination=FOLDER")
    task = progress.task_ids[0]
    progress.reset(task, completed=start_bytes, total=start_bytes + left_bytes)
    have_bytes = start_bytes
    with part.open("ab" if start_bytes else "wb") as file:
        for chunk in response.iter_content(CHUNK_BYTES):
            have_bytes += len(chunk)
            if have_bytes > max_bytes:
                part.unlink()
                raise _RetryableError(f"received more than the file's {max_bytes:,} bytes; they were deleted")
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
