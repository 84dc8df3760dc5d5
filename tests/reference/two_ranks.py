"""Trains a small sign_net for an epoch and writes the network of this rank and its moving average:

torchrun … two_ranks.py DATASET OUTPUT BATCH_SIZE [key=value …]
"""

import sys
from pathlib import Path

import torch
from small_runs import STILL, recipe

from training.classifiers.run import make_training, open_splits
from training.loop.ranks import ranks_on
from training.models.sign_net import SignNet
from training.streams.stream import Data


def train(dataset: Path, output: Path, batch_size: int, weights: str, frozen_epochs: int) -> None:
    model = SignNet(widths=(4, 4, 8, 8, 8), dropout=0.0, weights=weights)
    settings = recipe(
        dataset, model=model, data=Data(root=str(dataset), size_px=16), batch_size=batch_size, augmentation=STILL,
        lr=1e-3, ema_decay=0.9, frozen_epochs=frozen_epochs, epochs=2,
    )  # fmt: skip
    with ranks_on("cpu", "float32") as ranks:
        training = make_training(settings, ranks, *open_splits(settings, ranks))
        seen = []
        while training.epoch < settings.epochs:
            for _ in training.steps():
                pass
            training.finish_epoch()
            seen.append({name: tensor.clone() for name, tensor in training.network.state_dict().items()})
        torch.save({"epochs": seen, "final": training.final.state_dict(), "metrics": training.metrics},
                   output / f"rank{ranks.rank}.pt")  # fmt: skip


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
