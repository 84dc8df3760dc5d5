"""Make a variant of a dataset by a generator.

    spark-submit jobs/make_generated_datasets.py model=… data.root=… [--config FILE] [--dry-run] [key=value …]

The settings and their defaults are in conf/make_generated_datasets.yaml.
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
from pipelines.render.noise_images import NoiseLevels
from pipelines.settings import parse_arguments, to_yaml
from pipelines.spark import session
from pipelines.spark.frames import make_generator, row_groups_frame
from pipelines.store import writer
from pipelines.store.provenance import made_by
from pipelines.store.schema import Manifest
from training.executors.generated_datasets import GeneratedDatasets, GenerationPlan, open_judge, prepare_generated
from training.gans.trained import TrainedGan
from training.tracking import find_models

CONFIG = Path(__file__).parents[1] / "conf" / "make_generated_datasets.yaml"
NOISES = CONFIG.parent / "noise" / "paper.yaml"


def make(spark: SparkSession, settings: GeneratedDatasets, plan: GenerationPlan, console: Console) -> None:
    """Makes the variant, or replaces one that is out of date."""
    root, fingerprints = settings.data.root, {plan.cell: plan.fingerprint}
    with writer.locked(root) as lease, tempfile.TemporaryDirectory() as folder:
        report.announce_replacements(console, root, fingerprints, settings.data.verify)
        report.warn_of_small_disk(console, root, fingerprints, plan.counts, plan.manifest.card.channels)
        files = plan.write_files(Path(folder))
        for file in files:
            spark.sparkContext.addFile(str(file))
        gan = plan.shipped(settings, files, NoiseLevels.read(NOISES))
        facts = {**made_by(), "torch": str(torch.__version__)}
        output = writer.Plan(
            root, plan.manifest.card, fingerprints, plan.counts, plan.about(), facts, 1, settings.compression,
            lease=lease,
        )  # fmt: skip
        frame = row_groups_frame(spark, root, plan.row_groups, settings.partitions)
        writer.write_datasets(frame, make_generator(gan), output)


def run(arguments: Sequence[str]) -> None:
    console = make_console()
    settings, dry_run = parse_arguments(GeneratedDatasets, CONFIG, __doc__ or "", arguments)
    (found,) = find_models([settings.model], "gans")
    gan = TrainedGan.read(found.path, torch.device("cpu"))
    plan = prepare_generated(settings, found, gan, open_judge(settings, gan, console))
    root = settings.data.root
    if dry_run:
        console.print(to_yaml(settings))
        console.print(f"{plan.cell.folder(root)}\ndry run: nothing was made")
        return
    if writer.is_current(plan.cell.folder(root), plan.fingerprint, settings.data.verify):
        console.print("was there already, unchanged")
    else:
        with session.started("make_generated_datasets") as spark:
            make(spark, settings, plan, console)
    report.print_datasets(console, root, [plan.cell])
    if manifest := Manifest.read(plan.cell.folder(root)):
        report.print_choice(console, manifest)


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
