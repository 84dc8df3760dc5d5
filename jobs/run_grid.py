"""Compare recipes of training over seeds.

    python jobs/run_grid.py grid=… data.root=… 'seeds=[0,1,2]' [--config FILE] [--dry-run] [key=value …]

The settings of the grid and their defaults are in conf/run_grid.yaml, grids in conf/grid/. All other keys are settings
of jobs/train_classifier.py, the same in all rows. The same command goes on with a grid that was stopped.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.console import make_console
from pipelines.job.run import run_job
from pipelines.settings import parse_arguments, to_yaml
from pipelines.store import provenance
from training.classifiers.arguments import own_and_trainings
from training.grids.run import describe_grid, run_grid
from training.grids.settings import RunGrid, Trainings
from training.loop.tracked_training import Command

CONF = Path(__file__).parents[1] / "conf"
CONFIG = CONF / "run_grid.yaml"


def run(arguments: Sequence[str]) -> None:
    own, given = own_and_trainings(arguments, RunGrid)
    settings, dry_run = parse_arguments(RunGrid, CONFIG, __doc__ or "", own)
    trainings = Trainings.of(settings, CONF / "train_classifier.yaml", given)
    if dry_run:
        make_console().print(to_yaml(settings), describe_grid(settings, trainings), sep="\n")
        return
    line = shlex.join(["python", "jobs/run_grid.py", *arguments])
    run_grid(settings, trainings, Command(line, {"code": provenance.code_version()}))


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
