"""Train a classifier and track the run.

    python jobs/train_classifier.py [--config FILE] [--dry-run] [key=value …]
    torchrun --nproc-per-node 2 jobs/train_classifier.py …                              many devices of one machine
    spark-submit jobs/train_classifier.py launcher=spark processes=2 …                  many machines of a cluster

The settings and their defaults are in conf/train_classifier.yaml; networks and recipes in conf/model/.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.console import make_console
from pipelines.job.run import run_job
from pipelines.settings import parse_arguments, to_yaml
from pipelines.spark import session
from pipelines.store import provenance
from training.classifiers.run import describe_run, train_classifier
from training.classifiers.settings import TrainClassifier
from training.loop.tracked_training import Command

CONFIG = Path(__file__).parents[1] / "conf" / "train_classifier.yaml"


def run(arguments: Sequence[str]) -> None:
    settings, dry_run = parse_arguments(TrainClassifier, CONFIG, __doc__ or "", arguments)
    command = Command(
        shlex.join(["python", "jobs/train_classifier.py", *arguments]), {"code": provenance.code_version()}
    )
    if dry_run:
        make_console().print(to_yaml(settings), describe_run(settings), sep="\n")
    elif settings.launcher == "spark":
        on = "train_classifier", settings.processes, settings.device == "cuda"
        session.distribute(*on, train_classifier, settings, command)
    else:
        train_classifier(settings, command)


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
