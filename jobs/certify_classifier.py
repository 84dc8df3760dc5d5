"""Prove at which decibels a classifier stays right.

    python jobs/certify_classifier.py model=… data.root=… [--config FILE] [--dry-run] [key=value …]

The settings and their defaults are in conf/certify_classifier.yaml.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.console import make_console
from pipelines.job.run import run_job
from pipelines.settings import parse_arguments, to_yaml
from pipelines.store.remote_copy import kept, shown
from training.classifiers.opening import open_models, stored
from training.evaluation.certification.run import CertifiedModel, Plan, certify, prepare
from training.evaluation.certification.settings import CertifyClassifier
from training.evaluation.certification.table import console_table, tracked_metrics
from training.evaluation.classifiers.predicting import torch_device
from training.tracking import reopened_run

CONFIG = Path(__file__).parents[1] / "conf" / "certify_classifier.yaml"


def track(plan: Plan, metrics: dict[str, float]) -> None:
    """Adds the metrics, tables and figure to the model's run."""
    if plan.model.run is None:
        return
    with reopened_run(plan.folder, plan.model.run) as run:
        run.log_metrics(metrics)
        for path in sorted(plan.folder.glob("*.*")):
            run.log_file(path, f"certification/{plan.folder.name}")


def run(arguments: Sequence[str]) -> None:
    console = make_console()
    settings, dry_run = parse_arguments(CertifyClassifier, CONFIG, __doc__ or "", arguments)
    device = torch_device(settings.device)
    data = settings.data
    ((found, classifier),) = open_models(
        [settings.model], device, stored(data.root, data.geometry, data.size_px), console
    )
    plan = prepare(settings, CertifiedModel(found.name, classifier, found.run_id), device)
    for note in plan.notes:
        console.print(note)
    if dry_run:
        console.print(to_yaml(settings))
        console.print(
            f"{len(plan.chosen.labels):,} {settings.split} images would be certified by {plan.method} on {device}; dry "
            "run: nothing was made"
        )
        return
    with kept(settings.output_root, last="certification.yaml"):
        table, _ = certify(plan, device, console)
        console.print(console_table(table))
        track(plan, tracked_metrics(table))
    console.print(f"tables and figure: {shown(plan.folder)}")


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
