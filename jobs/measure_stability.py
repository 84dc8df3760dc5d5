"""Measure distances to a decision boundary.

    python jobs/measure_stability.py model=… data.root=… [--config FILE] [--dry-run] [key=value …]

The settings and their defaults are in conf/measure_stability.yaml.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.console import make_console
from pipelines.job.run import run_job
from pipelines.settings import parse_arguments, to_yaml
from pipelines.store import remote_copy
from training.classifiers.opening import named, open_models, stored
from training.evaluation.classifiers.predicting import torch_device
from training.evaluation.robustness.evaluation import folder_name
from training.evaluation.stability.settings import Stability
from training.evaluation.stability.table import said, shown, tracked
from training.evaluation.stability.writing import Result, measure_stability, write_stability
from training.tracking import reopened_run

CONFIG = Path(__file__).parents[1] / "conf" / "measure_stability.yaml"


def track(result: Result, run: str, folder: Path) -> None:
    """Adds metrics, tables and figures to the model's run."""
    with reopened_run(folder, run) as reopened:
        reopened.log_metrics(tracked(result.rows))
        for path in sorted(folder.glob("*.*")):
            reopened.log_file(path, f"stability/{folder.name}")


def run(arguments: Sequence[str]) -> None:
    console = make_console()
    settings, dry_run = parse_arguments(Stability, CONFIG, __doc__ or "", arguments)
    device = torch_device(settings.device)
    images = stored(settings.data.root, settings.data.geometry, settings.data.size_px)
    ((name, (found, classifier)),) = named(open_models([settings.model], device, images, console)).items()
    if dry_run:
        console.print(to_yaml(settings))
        console.print(f"{name} would be measured on {device}; dry run: nothing was made")
        return
    with remote_copy.kept(settings.output_root, last="stability.yaml"):
        result = measure_stability(settings, name, found.run_id, classifier, device)
        console.print(shown(result.rows))
        for sentence in said(result.measured, result.rows):
            console.print(sentence)
        folder = write_stability(settings, folder_name(name), classifier, result)
        if found.run_id is not None:
            track(result, found.run_id, folder)
    console.print(f"tables and figures: {remote_copy.shown(folder)}")


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
