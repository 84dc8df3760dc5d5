"""Make the previous champion the champion again.

    python jobs/rollback.py [--config FILE] [--dry-run] [key=value …]

The settings and their defaults are in conf/rollback.yaml.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.job.run import run_job
from pipelines.settings import Settings, parse_arguments
from training.tracking import ModelName, Registry

CONFIG = Path(__file__).parents[1] / "conf" / "rollback.yaml"


class Rollback(Settings):
    name: ModelName


def run(arguments: Sequence[str]) -> None:
    settings, dry_run = parse_arguments(Rollback, CONFIG, __doc__ or "", arguments)
    registry = Registry(settings.name)
    failed, back = registry.rollback_plan() if dry_run else registry.rollback()
    would = "would be" if dry_run else "is"
    print(
        f"models:/{settings.name}@champion {would} version {back.number} again (run {back.run_id}), no longer version "
        f"{failed.number} (run {failed.run_id})"
    )


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
