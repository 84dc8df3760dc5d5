"""Scores in an object store, which has no rename: files under names of their own, and the summary put last.

A file's name has the id of its run, so a run overwrites nothing. When the summary has been put, the files of the run
before are removed; until then a plain pattern of files sees both."""

import re
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pipelines.errors import StoreError
from pipelines.places import Place, Remote, below, refusing_store_errors
from pipelines.store.object_lease import leased

__all__ = ["has_strangers", "published", "task_file"]

PART = re.compile(r"part-\d{5,}-([0-9a-f]{12})[0-9a-f]{32}\.parquet")


@contextmanager
def task_file(folder: Place, name: str) -> Iterator[Path]:
    """A file of this machine to write to; at the end of the block it is in `folder`. Raises StoreError."""
    if isinstance(folder, Path):
        yield folder / name
        return
    with tempfile.TemporaryDirectory(prefix="roadsign-scores-") as here:
        path = Path(here) / name
        yield path
        with refusing_store_errors(folder):
            folder.fs.put_file(str(path), (folder / name).path)


def has_strangers(output: Remote, summary: str) -> bool:
    """Whether there are files but no summary, besides what a killed run can have left. Raises StoreError."""
    with refusing_store_errors(output):
        found = below(output)
    return summary not in found and any(not PART.fullmatch(path) and not path.startswith("_lease.") for path in found)


@contextmanager
def published(output: Remote, write: Callable[[Remote, str], list[str]]) -> Iterator[Sequence[str]]:
    """The names of the files that `write` has written with the id of this run; the block puts the summary. Afterwards
    all other files of scores are removed, or those of this run if the block has failed. Raises StoreError."""
    run = uuid.uuid4().hex[:12]
    with leased(output) as lease:
        try:
            names = sorted(write(output, run))
            lease.check()
            with refusing_store_errors(output):
                yield names
        except BaseException:
            with suppress(StoreError):  # if it cannot be reached, the next run removes them
                _remove(output, lambda match: match[1] == run)
            raise
        _remove(output, lambda match: match[0] not in names)


def _remove(output: Remote, unwanted: Callable[[re.Match[str]], bool]) -> None:
    with refusing_store_errors(output):
        matches = [match for path in below(output) if (match := PART.fullmatch(path))]
        if paths := [(output / match[0]).path for match in matches if unwanted(match)]:
            output.fs.rm(paths)
