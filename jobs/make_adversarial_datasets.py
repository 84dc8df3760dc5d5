"""Attack a classifier and keep the images.

    spark-submit jobs/make_adversarial_datasets.py model=… attack=… data.root=… [--config FILE] [--dry-run] [key=value]

The settings and their defaults are in conf/make_adversarial_datasets.yaml.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from pyspark.sql import SparkSession
from rich.console import Console

from pipelines.console import make_console
from pipelines.job.run import run_job
from pipelines.render import report
from pipelines.settings import describe, parse_arguments, to_yaml
from pipelines.spark import session
from pipelines.spark.frames import make_attacker, row_groups_frame
from pipelines.store import writer
from pipelines.store.provenance import made_by
from training.classifiers.opening import open_models, stored
from training.executors.adversarial_datasets import AdversarialDatasets, AttackPlan, prepare
from training.executors.shipped import ShippedAttack

CONFIG = Path(__file__).parents[1] / "conf" / "make_adversarial_datasets.yaml"


def make(spark: SparkSession, settings: AdversarialDatasets, plan: AttackPlan, console: Console) -> None:
    """Makes the variants that are missing or out of date."""
    root = settings.data.root
    with writer.locked(root) as lease, tempfile.TemporaryDirectory() as folder:
        outdated = writer.outdated(root, plan.fingerprints, settings.data.verify)
        report.announce_replacements(console, root, outdated, settings.data.verify)
        report.warn_of_small_disk(console, root, outdated, plan.counts, plan.manifest.card.channels)
        name, files = plan.write_files(Path(folder))
        for file in files:
            spark.sparkContext.addFile(str(file))
        strengths = {cell.variant: settings.strengths[cell.variant] for cell in outdated}
        attack = ShippedAttack(name, describe(plan.attack), strengths, settings.seed, settings.batch_size)
        facts = {**made_by(settings.batch_id), "torch": str(torch.__version__)}
        output = writer.Plan(
            root, plan.manifest.card, outdated, plan.counts, plan.about(), facts, 1, settings.compression, lease=lease
        )
        frame = row_groups_frame(spark, root, plan.row_groups, settings.partitions)
        writer.write_datasets(frame, make_attacker(attack), output)


def run(arguments: Sequence[str]) -> None:
    console = make_console()
    settings, dry_run = parse_arguments(AdversarialDatasets, CONFIG, __doc__ or "", arguments)
    data = settings.data
    images = stored(str(data.root), data.geometry, data.size_px)
    (model,) = open_models([settings.model], torch.device("cpu"), images, console)
    plan = prepare(settings, *model)
    root, cells = data.root, list(plan.fingerprints)
    outdated = writer.outdated(root, plan.fingerprints, settings.data.verify)
    if dry_run:
        console.print(to_yaml(settings))
        for cell in outdated:
            console.print(f"{cell.folder(root)}")
        console.print(plan.sentence())
        console.print("dry run: nothing was made")
        return
    if outdated:
        with session.started("make_adversarial_datasets") as spark:
            make(spark, settings, plan, console)
    console.print(f"{len(outdated)} datasets made, {len(cells) - len(outdated)} were there already, unchanged")
    report.print_attacks(console, root, cells)


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
