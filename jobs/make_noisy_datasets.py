"""Make clean and noisy datasets of raw images.

    spark-submit jobs/make_noisy_datasets.py [--config FILE] [--dry-run] [key=value …]

The settings and their defaults are in conf/make_noisy_datasets.yaml.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import SparkSession
from rich.console import Console

from pipelines.console import make_console
from pipelines.datasets import Listing
from pipelines.job.run import run_job
from pipelines.render import report
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import parse_arguments
from pipelines.spark import session
from pipelines.spark.frames import make_renderer
from pipelines.spark.sources import is_unchanged, parts_frame, prepare_source, refuse_other_dataset, refuse_unusable
from pipelines.store import writer
from pipelines.store.provenance import made_by

CONFIG = Path(__file__).parents[1] / "conf" / "make_noisy_datasets.yaml"


def make(spark: SparkSession, listing: Listing, settings: NoisyDatasets, console: Console) -> None:
    """Makes the variants that are missing or out of date."""
    root = settings.dataset_folder
    with writer.locked(root) as lease:
        refuse_other_dataset(root, settings.dataset, listing)
        source = prepare_source(spark, listing, settings)
        table = writer.write_rejected(root, source.rejected)
        refuse_unusable(source, settings.max_rejected_fraction, table)
        console.print("\n".join([source.sentence(), *listing.remarks]))
        wanted = {cell: settings.fingerprint(cell, source.digest, listing.card) for cell in settings.cells}
        outdated = writer.outdated(root, wanted, settings.verify)
        if outdated:
            report.announce_replacements(console, root, outdated, settings.verify)
            report.warn_of_small_disk(console, root, outdated, source.counts, listing.card.channels)
            plan = writer.Plan(
                root, listing.card, outdated, source.counts, source.summary(), made_by(settings.batch_id),
                settings.images_per_row_group, settings.compression, source.groups_per_class, lease=lease,
            )  # fmt: skip
            rendering = settings.rendering(listing.card.channels).only(outdated)
            render = make_renderer(rendering, source.readers)
            writer.write_datasets(parts_frame(spark, source, settings.partitions), render, plan)
            from pipelines.render.figures import (
                draw_figures,  # here: a run without work need not import matplotlib
            )

            draw_figures(root, settings)
    console.print(f"{len(outdated)} datasets made, {len(wanted) - len(outdated)} were there already, unchanged")


def run(arguments: Sequence[str]) -> None:
    console = make_console()
    settings, dry_run = parse_arguments(NoisyDatasets, CONFIG, __doc__ or "", arguments)
    report.announce(console, settings)
    if dry_run:
        report.print_plan(console, settings)
        return
    listing = settings.dataset.listing()  # before Spark starts, so that errors show immediately
    if is_unchanged(listing, settings):
        console.print(f"0 datasets made, {len(settings.cells)} were there already, unchanged")
    else:
        with session.started("make_noisy_datasets") as spark:
            make(spark, listing, settings, console)
    report.print_datasets(console, settings.dataset_folder, settings.cells)


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
