"""Fetch a data set from its publisher and verify it.

    python jobs/download_dataset.py mnist [--config FILE] [--dry-run] [key=value …]

An interrupted download is resumed; a complete one is not changed.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.datasets.download import DownloadSettings, archive_folder, fetch, missing_archives
from pipelines.job.run import run_job
from pipelines.settings import parse_arguments

DEFAULT_CONFIG = Path(__file__).resolve().parents[1] / "conf" / "download_dataset.yaml"
NOTHING_TO_DO = "already there, nothing to do"


def run(arguments: Sequence[str]) -> None:
    settings, dry_run = parse_arguments(DownloadSettings, DEFAULT_CONFIG, __doc__ or "", _name_dataset(arguments))
    if dry_run:
        _print_plan(settings)
        return
    try:
        fetched = fetch(settings, settings.published)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("run again to resume") from None
    print(f"{settings.folder()}: {'downloaded and verified' if fetched else NOTHING_TO_DO}")


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


def _name_dataset(arguments: Sequence[str]) -> list[str]:
    first = list(arguments[:1])
    if first and not first[0].startswith("-") and "=" not in first[0]:
        first = [f"dataset={first[0]}"]
    return first + list(arguments[1:])


def _print_plan(settings: DownloadSettings) -> None:
    archives = missing_archives(settings, settings.published)
    if not archives:
        print(f"{settings.folder()}: {NOTHING_TO_DO}")
        return
    for archive in archives:
        url = settings.url(settings.published, archive)
        print(f"would fetch {url} ({archive.size_bytes:,} bytes, MD5 {archive.md5})")
    print(f"{sum(archive.size_bytes for archive in archives):,} bytes in all")
    print(f"to {archive_folder(settings.folder())}")
    packed = [archive.name for archive in archives if archive.packed]
    print(f"and make {settings.folder()}" + (f", unpacking {', '.join(packed)}" if packed else ""))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
