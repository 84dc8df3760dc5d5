"""Search the settings of a training with Optuna.

    python jobs/tune.py study=sign_net trials=20 data.root=… [--config FILE] [--dry-run] [key=value …]

The settings of the study and their defaults are in conf/tune.yaml, studies in conf/study/. All other keys are settings
of jobs/train_classifier.py, the same in all trials. The same command goes on with a study that was stopped.
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
from training.loop.tracked_training import Command
from training.tuning.run import describe_study, tune
from training.tuning.settings import Trainings, Tune

CONF = Path(__file__).parents[1] / "conf"
CONFIG = CONF / "tune.yaml"


def run(arguments: Sequence[str]) -> None:
    own, given = own_and_trainings(arguments, Tune)
    settings, dry_run = parse_arguments(Tune, CONFIG, __doc__ or "", own)
    trainings = Trainings.of(settings, CONF / "train_classifier.yaml", given)
    if dry_run:
        make_console().print(to_yaml(settings), describe_study(settings, trainings), sep="\n")
        return
    line = shlex.join(["python", "jobs/tune.py", *arguments])
    tune(settings, trainings, Command(line, {"code": provenance.code_version()}))


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
