"""Show runs and models in MLflow's interface.

    python jobs/serve_ui.py [--config FILE] [--dry-run] [key=value …]

The settings and their defaults are in conf/serve_ui.yaml.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.console import make_console
from pipelines.job.run import run_job
from pipelines.settings import parse_arguments, to_yaml
from training.tracking import UserInterface, serve

CONFIG = Path(__file__).parents[1] / "conf" / "serve_ui.yaml"


def run(arguments: Sequence[str]) -> None:
    console = make_console()
    settings, dry_run = parse_arguments(UserInterface, CONFIG, __doc__ or "", arguments)
    if dry_run:
        console.print(to_yaml(settings))
        console.print("dry run: nothing was started")
        return
    serve(settings, lambda line: console.print(line, soft_wrap=True))


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
