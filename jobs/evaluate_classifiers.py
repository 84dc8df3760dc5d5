"""Show every noise to classifiers, in one table.

    python jobs/evaluate_classifiers.py models=… data.root=… [--config FILE] [--dry-run] [key=value …]

The settings and their defaults are in conf/evaluate_classifiers.yaml.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console

from pipelines.console import make_console
from pipelines.job.run import run_job
from pipelines.settings import parse_arguments, to_yaml
from pipelines.store.remote_copy import kept, shown
from training.classifiers.opening import named, open_models, stored
from training.evaluation.classifiers.predicting import torch_device
from training.evaluation.classifiers.reports import accuracies
from training.evaluation.classifiers.table import description, tracked_metrics
from training.evaluation.robustness import evaluation
from training.evaluation.robustness.comparison import shown_comparison
from training.evaluation.robustness.insides import write_insides
from training.evaluation.robustness.recipes import shown_recipes
from training.tracking import reopened_run

CONFIG = Path(__file__).parents[1] / "conf" / "evaluate_classifiers.yaml"


def read_models(
    settings: evaluation.Evaluation, device: torch.device, console: Console
) -> dict[str, evaluation.EvaluatedModel]:
    data = settings.data
    opened = open_models(settings.models, device, stored(data.root, data.geometry, data.size_px), console)
    return {name: evaluation.EvaluatedModel(one.classifier, one.found.run_id) for name, one in named(opened).items()}


def track(models: Mapping[str, evaluation.EvaluatedModel], result: evaluation.Result, folder: Path) -> None:
    """Adds each model's metrics, tables, figures and reports to its run."""
    for name, model in models.items():
        if model.run is None:
            continue
        own = folder / evaluation.folder_name(name)
        with reopened_run(own, model.run) as run:
            run.log_metrics(tracked_metrics(result.table, name))
            run.describe(description(result.table, name, model.classifier.about))
            for path in (*sorted(folder.glob("*.*")), own / "figures", own / "reports"):
                run.log_file(path, f"evaluation/{folder.name}")


def run(arguments: Sequence[str]) -> None:
    console = make_console()
    settings, dry_run = parse_arguments(evaluation.Evaluation, CONFIG, __doc__ or "", arguments)
    device = torch_device(settings.device)
    models = read_models(settings, device, console)
    if dry_run:
        console.print(to_yaml(settings))
        console.print(f"{', '.join(models)} would be evaluated on {device}; dry run: nothing was made")
        return
    with kept(settings.output_root, last="evaluation.yaml"):
        result = evaluation.evaluate(settings, models, device, console)
        compared = shown_comparison(result.comparison) if result.comparison else ()
        for said in (accuracies(result.table), *shown_recipes(result.recipes), *compared):
            console.print(said)
        for flag in result.flags:
            console.print(f"unreliable: {flag}")
        folder = evaluation.write_result(settings, models, result)
        write_insides(settings, models, result, folder, console)
        track(models, result, folder)
    console.print(f"tables, figures and reports: {shown(folder)}")


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
