"""Report which noise breaks a network, on one page.

    python jobs/report_robustness.py 'models=[…]' data.root=… [--config FILE] [--dry-run] [key=value …]

The settings and their defaults are in conf/report_robustness.yaml.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from pipelines.console import make_console
from pipelines.job.run import run_job
from pipelines.settings import parse_arguments, to_yaml
from pipelines.store.provenance import code_version
from pipelines.store.remote_copy import kept, shown
from training.classifiers.opening import named, open_models, stored
from training.evaluation.classifiers.predicting import torch_device
from training.evaluation.report.run import make_report, write_report
from training.evaluation.report.settings import RobustnessReport
from training.evaluation.robustness.evaluation import EvaluatedModel
from training.tracking import reopened_run

CONFIG = Path(__file__).parents[1] / "conf" / "report_robustness.yaml"


def track(models: Mapping[str, EvaluatedModel], page: Path) -> None:
    """Adds the page, its tables and figures to each model's run."""
    for model in models.values():
        if model.run is not None:
            with reopened_run(page.parent, model.run) as run:
                for path in (page, *(page.parent / name for name in ("figures", "tables", "cards"))):
                    run.log_file(path, f"report/{page.parent.name}")


def say(console: Console, answer: Sequence[str], broken: Sequence[str], page: Path) -> None:
    for sentence in answer:
        console.print(sentence)
    for sentence in broken:
        console.print(f"check: {sentence}", style="red")
    console.print(f"report: {shown(page)}", soft_wrap=True)


def run(arguments: Sequence[str]) -> None:
    console = make_console()
    settings, dry_run = parse_arguments(RobustnessReport, CONFIG, __doc__ or "", arguments)
    device = torch_device(settings.device)
    data = settings.data
    opened = named(open_models(settings.models, device, stored(data.root, data.geometry, data.size_px), console))
    models = {name: EvaluatedModel(one.classifier, one.found.run_id) for name, one in opened.items()}
    if dry_run:
        console.print(to_yaml(settings))
        console.print(f"{', '.join(models)} would be reported on, on {device}; dry run: nothing was made")
        return
    with kept(settings.output_root, last="report.html"):
        report = make_report(settings, models, device, console)
        page = write_report(settings, report, code_version())
        track(models, page)
    say(console, report.answer, [sentence for gate in report.gates for sentence in gate.broken], page)


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
