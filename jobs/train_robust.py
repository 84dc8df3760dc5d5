"""Train classifiers together with a GAN.

    python jobs/train_robust.py [--config FILE] [--dry-run] [key=value …]
    torchrun --nproc-per-node 2 jobs/train_robust.py …                                  many devices of one machine
    spark-submit jobs/train_robust.py launcher=spark processes=2 …                      many machines of a cluster

The settings and their defaults are in conf/train_robust.yaml.
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
from training.joint.run import describe_joint_run, train_robust
from training.joint.settings import TrainRobust
from training.loop.tracked_training import Command

CONFIG = Path(__file__).parents[1] / "conf" / "train_robust.yaml"


def run(arguments: Sequence[str]) -> None:
    settings, dry_run = parse_arguments(TrainRobust, CONFIG, __doc__ or "", arguments)
    command = Command(shlex.join(["python", "jobs/train_robust.py", *arguments]), {"code": provenance.code_version()})
    if dry_run:
        make_console().print(to_yaml(settings), describe_joint_run(settings), sep="\n")
    elif settings.launcher == "spark":
        on = "train_robust", settings.processes, settings.device == "cuda"
        session.distribute(*on, train_robust, settings, command)
    else:
        train_robust(settings, command)


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
