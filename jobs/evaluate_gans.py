"""Compare generated images with real ones.

    python jobs/evaluate_gans.py runs=… data.root=… [--config FILE] [--dry-run] [key=value …]

The settings and their defaults are in conf/evaluate_gans.yaml.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from pipelines.console import make_console
from pipelines.job.run import run_job
from pipelines.render.noise_images import NoiseLevels
from pipelines.settings import parse_arguments, to_yaml
from pipelines.store.remote_copy import kept, shown
from training.classifiers.trained import Classifier
from training.evaluation.classifiers.predicting import torch_device
from training.evaluation.gans.evaluation import EvaluatedGan, GanEvaluation, GanResult, evaluate_gans, write_gan_result
from training.evaluation.gans.table import shown_scores, tracked_scores
from training.evaluation.robustness.evaluation import folder_name
from training.gans.trained import TrainedGan
from training.tracking import find_models, reopened_run

CONFIG = Path(__file__).parents[1] / "conf" / "evaluate_gans.yaml"
NOISES = CONFIG.parent / "noise" / "paper.yaml"


def read_gans(references: Sequence[str], device: torch.device) -> dict[str, EvaluatedGan]:
    """The generators by name; generators of equal name by name and the first digits of the digest of their weights."""
    found = find_models(references, "gans")
    often, noise_images = Counter(model.name for model in found), NoiseLevels.read(NOISES)
    gans = {}
    for model in found:
        gan = TrainedGan.read(model.path, device, noise_images)
        name = model.name if often[model.name] == 1 else f"{model.name}-{gan.digest[:8]}"
        gans[name] = EvaluatedGan(gan, model.run_id)
    return gans


def track(gans: Mapping[str, EvaluatedGan], result: GanResult, folder: Path) -> None:
    """Adds each generator's metrics, tables and pictures to its run."""
    for name, gan in gans.items():
        if gan.run is not None:
            own = folder / folder_name(name)
            with reopened_run(own, gan.run) as run:
                run.log_metrics(tracked_scores(result.table, name))
                for path in (*sorted(folder.glob("*.*")), *sorted(own.glob("*.png"))):
                    run.log_file(path, f"evaluation/{folder.name}")


def run(arguments: Sequence[str]) -> None:
    console = make_console()
    settings, dry_run = parse_arguments(GanEvaluation, CONFIG, __doc__ or "", arguments)
    device = torch_device(settings.device)
    gans = read_gans(settings.runs, device)
    (found,) = find_models([settings.classifier])
    extractors = settings.extractors(Classifier.read(found.path, device), found.name, device)
    if dry_run:
        names = ", ".join(extractor.name for extractor in extractors)
        would = f"{', '.join(gans)} would be evaluated by {names} on {device}; dry run: nothing was made"
        console.print(to_yaml(settings), would, sep="\n")
        return
    with kept(settings.output_root, last="gan_evaluation.yaml"):
        result = evaluate_gans(settings, gans, extractors, device, console)
        console.print(shown_scores(result.table), *(f"flag: {flag}" for flag in result.flags), sep="\n")
        folder = write_gan_result(settings, gans, result)
        track(gans, result, folder)
    console.print(f"table and pictures: {shown(folder)}")


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
