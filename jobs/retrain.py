"""Retrain, compare and promote, as one batch.

    python jobs/retrain.py [--config FILE] [--dry-run] [key=value …]
    python jobs/retrain.py --status [--json] [key=value …]  last run, next due, champion and its accuracy, pending
    python jobs/retrain.py --scheduled [key=value …]      runs forever, a batch whenever one is due

The settings and their defaults are in conf/retrain.yaml. Exit codes: 0, the batch is complete; 1, it
failed, and the champion is unchanged; 2, wrong settings; 3, stopped by drift; 75, another batch is running.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.console import make_console
from pipelines.job.run import run_job
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import describe, load, parse_arguments, to_yaml
from pipelines.spark.sources import is_unchanged
from pipelines.store.provenance import code_digest, code_version
from training.retraining.plan import RetrainingPlan
from training.retraining.service import attempt
from training.retraining.settings import Retrain
from training.retraining.status import find_status, journal_of

JOBS = Path(__file__).parent
CONF = JOBS.parent / "conf"


def plan(settings: Retrain, arguments: Sequence[str]) -> RetrainingPlan:
    datasets = load(NoisyDatasets, CONF / "make_noisy_datasets.yaml", settings.for_datasets(settings.size_px, ""))
    listing = datasets.dataset.listing()
    fingerprints = [datasets.fingerprint(cell, "", listing.card) for cell in datasets.cells]
    return RetrainingPlan(
        settings=settings,
        jobs=JOBS,
        root=settings.output_root / datasets.dataset.dataset_name,
        variants=tuple(datasets.chosen),
        listing=listing,
        code=code_digest(),
        configuration=settings.configuration(CONF, [describe(datasets.geometry), fingerprints]),
        unchanged=is_unchanged(listing, datasets),
        command=shlex.join(["python", "jobs/retrain.py", *arguments]),
        facts={"code": code_version()},
    )


def run(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--status", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--scheduled", action="store_true")
    asked, rest = parser.parse_known_args(arguments)
    if asked.json and not asked.status:
        parser.error("--json goes with --status")
    settings, dry_run = parse_arguments(Retrain, CONF / "retrain.yaml", __doc__ or "", rest)
    console = make_console()

    def batch(_: Sequence[str]) -> None:
        attempt(settings, lambda: plan(settings, rest), console)

    if asked.status:
        print(find_status(settings).json if asked.json else find_status(settings).text)
    elif dry_run:
        console.print(to_yaml(settings))
        console.print(f"{plan(settings, rest).listing.found}; dry run: nothing was made")
    elif asked.scheduled:
        settings.schedule.run(journal_of(settings).last, lambda: run_job(batch, rest))
    else:
        batch(rest)


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
