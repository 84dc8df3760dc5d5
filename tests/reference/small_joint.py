"""A joint training that takes seconds, on the dataset of small_runs."""

from pathlib import Path
from typing import Any

import torch
from small_datasets import Small

from pipelines.datasets.mnist import Mnist
from training.gans.wgan_gp import WganGp
from training.joint.run import open_joint
from training.joint.settings import TrainRobust
from training.joint.training import JointTraining
from training.loop.ranks import Ranks
from training.models.classic_classifier import ClassicClassifier
from training.streams.stream import Data
from training.tracking import Tracking

PARTS = {"train": [[40, 30], [24]], "validation": [[20]], "test": [[20]]}


def write_digits(root: Path) -> Path:
    """One channel, ten classes."""
    return Small(PARTS, size_px=8, card=Mnist.card).write(root)


def joint_recipe(root: Path, **fields: Any) -> TrainRobust:
    values: dict[str, Any] = {
        "gan": WganGp(n_critic=3, width=2),
        "classifier": ClassicClassifier(),
        "data": Data(root=str(root), size_px=8),
        "iterations": 4,
        "keep_every": 2,
        "classifier_every": 2,
        "classifier_seeds": (5,),
        "lr": 0.001,
        "betas": (0.0, 0.9),
        "classifier_lr": 0.001,
        "batch_size": 16,
        "samples": 30,
        "seed": 3,
        "device": "cpu",
        "runs_root": root / "runs",
        "tracking": Tracking(system_metrics_every_s=0.0),
    }
    return TrainRobust.model_validate({**values, **fields})


def joint_training(settings: TrainRobust) -> JointTraining:
    return open_joint(settings, Ranks(torch.device("cpu")))


def run_steps(training: JointTraining, steps: int) -> JointTraining:
    """Stops as a run does that is killed when so many steps are done."""
    while training.steps_taken < steps:
        for _ in training.steps():
            if training.steps_taken == steps:
                return training
        training.finish_epoch()
    return training


def joint_weights(training: JointTraining) -> dict[str, torch.Tensor]:
    """The weights and statistics of all networks."""
    return {
        f"{name}.{key}": tensor.clone()
        for name, player in training.learners.items()
        for key, tensor in player.network.state_dict().items()
    }
