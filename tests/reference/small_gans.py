"""A GAN training that takes seconds, on the dataset of small_runs."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from training.gans import GanArchitecture
from training.gans.dcgan import Dcgan
from training.gans.run import Outside, open_gan
from training.gans.settings import TrainGan
from training.gans.training import GanTraining
from training.gans.watch import Watch
from training.loop.ranks import Ranks
from training.streams.stream import Data
from training.tracking import Tracking


def gan_recipe(root: Path, gan: GanArchitecture | None = None, **fields: Any) -> TrainGan:
    values: dict[str, Any] = {
        "gan": gan or Dcgan(channels=4, conditional=True),
        "data": Data(root=str(root), size_px=8),
        "classes": None,
        "epochs": 2,
        "lr": 0.002,
        "betas": (0.5, 0.999),
        "batch_size": 16,
        "ema_decay": 0.9,
        "seed": 3,
        "device": "cpu",
        "runs_root": root / "runs",
        "watch": Watch(),
        "tracking": Tracking(system_metrics_every_s=0.0),
    }
    return TrainGan.model_construct(**{**values, **fields})


def stripes(noise: str, level: str, size_px: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Replaces pipelines.render.noise_images."""
    return random.integers(0, 256, (count, size_px, size_px, 3), np.uint8)


def gan_training(settings: TrainGan) -> GanTraining:
    return gan_training_on(settings, Ranks(torch.device("cpu")))


def gan_training_on(settings: TrainGan, ranks: Ranks) -> GanTraining:
    return open_gan(settings, ranks, Outside(stripes))


def run_epochs(training: GanTraining, epochs: int) -> list[dict[str, float]]:
    metrics = []
    while training.epoch < epochs:
        for _ in training.steps():
            pass
        training.finish_epoch()
        metrics.append(training.metrics)
    return metrics


def gan_weights(training: GanTraining) -> dict[str, torch.Tensor]:
    """The weights of both players and of the generator's average."""
    networks: dict[str, nn.Module] = {**training.players._asdict(), "average": training.average.network}
    return {
        f"{name}.{key}": tensor.clone()
        for name, network in networks.items()
        for key, tensor in network.state_dict().items()
    }
