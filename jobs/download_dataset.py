"""Fetches the official archives of a dataset, verifies them and unpacks them: download_dataset.py gtsrb.

An interrupted run resumes where it stopped; a finished one is left as it is.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.datasets.download import GTSRB_ARCHIVES, DownloadSettings, archive_folder, fetch
from pipelines.job.run import run_job
from pipelines.settings import parse_arguments

DEFAULT_CONFIG = Path(__file__).resolve().parents[1] / "conf" / "download_dataset.yaml"


def run(arguments: Sequence[str]) -> None:
    settings, dry_run = parse_arguments(DownloadSettings, DEFAULT_CONFIG, __doc__ or "", _name_dataset(arguments))
    if dry_run:
        _print_plan(settings)
        return
    try:
        fetched = fetch(settings, GTSRB_ARCHIVES)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("run again to resume") from None
    done = "downloaded, verified and unpacked" if fetched else "already there, nothing to do"
    print(f"{settings.destination}: {done}")


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


def _name_dataset(arguments: Sequence[str]) -> list[str]:
    first = list(arguments[:1])
    if first and not first[0].startswith("-") and "=" not in first[0]:
        first = [f"dataset={first[0]}"]
    return first + list(arguments[1:])


def _print_plan(settings: DownloadSettings) -> None:
    for archive in GTSRB_ARCHIVES:
        print(f"would fetch {settings.url(archive)} ({archive.size_bytes:,} bytes, MD5 {archive.md5})")
    print(f"to {archive_folder(settings.destination.resolve())}")
    print(f"and unpack into {settings.destination.resolve()}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
