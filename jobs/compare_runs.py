"""Compare the runs of an experiment on one page.

    python jobs/compare_runs.py [--config FILE] [--dry-run] [key=value …]

The settings and their defaults are in conf/compare_runs.yaml.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.console import make_console
from pipelines.job.run import run_job
from pipelines.settings import LocalPath, Settings, parse_arguments
from training.tracking import compare, finished_runs, write_comparison

CONFIG = Path(__file__).parents[1] / "conf" / "compare_runs.yaml"


class CompareRuns(Settings):
    experiment: str
    metric: str
    output: LocalPath


def run(arguments: Sequence[str]) -> None:
    console = make_console()
    settings, dry_run = parse_arguments(CompareRuns, CONFIG, __doc__ or "", arguments)
    runs = finished_runs(settings.experiment)
    comparison = compare(runs, settings.metric)
    if dry_run:
        console.print(f"dry run: would compare {len(runs)} runs in {settings.output}")
        return
    write_comparison(settings.output, f"Runs of {settings.experiment}", comparison)
    console.print(f"{settings.output}: {len(runs)} runs; open it in a browser")


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
