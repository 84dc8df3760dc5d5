"""Train a GAN and track the run.

    python jobs/train_gan.py [--config FILE] [--dry-run] [key=value …]
    torchrun --nproc-per-node 2 jobs/train_gan.py …                                     many devices of one machine
    spark-submit jobs/train_gan.py launcher=spark processes=2 …                         many machines of a cluster

The settings and their defaults are in conf/train_gan.yaml; networks and recipes in conf/gan/.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from pipelines.console import make_console
from pipelines.job.run import run_job
from pipelines.render.noise_images import NoiseLevels
from pipelines.settings import parse_arguments, to_yaml
from pipelines.spark import session
from pipelines.store import provenance
from training.classifiers.trained import Classifier
from training.gans.run import Outside, describe_gan_run, train_gan
from training.gans.settings import TrainGan
from training.loop.tracked_training import Command
from training.tracking import find_models

CONFIG = Path(__file__).parents[1] / "conf" / "train_gan.yaml"
NOISES = CONFIG.parent / "noise" / "paper.yaml"


def outside(settings: TrainGan) -> Outside:
    """Raises SettingsError, TrackingError and CheckpointError."""
    classifier = None
    if settings.gan.fools:
        (found,) = find_models([settings.gan.fools])
        classifier = Classifier.read(found.path, torch.device("cpu"))
    return Outside(NoiseLevels.read(NOISES), classifier)


def run(arguments: Sequence[str]) -> None:
    settings, dry_run = parse_arguments(TrainGan, CONFIG, __doc__ or "", arguments)
    command = Command(shlex.join(["python", "jobs/train_gan.py", *arguments]), {"code": provenance.code_version()})
    if dry_run:
        make_console().print(to_yaml(settings), describe_gan_run(settings, outside(settings)), sep="\n")
    elif settings.launcher == "spark":
        on = "train_gan", settings.processes, settings.device == "cuda"
        session.distribute(*on, train_gan, settings, command, outside(settings))
    else:
        train_gan(settings, command, outside(settings))


def main(arguments: Sequence[str]) -> int:
    return run_job(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
