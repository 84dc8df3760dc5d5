"""Trains a small GAN in float64 and writes the weights of both players:

    [torchrun …] exact_gan.py DATASET OUTPUT BATCH_SIZE

In float32 another order of summing is enough for other weights, for Adam divides a gradient by its own size and so
makes a whole step of one that is nothing but rounding. In float64 what remains of that is far below any mistake."""

import sys
from pathlib import Path

import torch
from small_gans import gan_recipe, gan_training_on, gan_weights, run_epochs

from training.gans import training as gan
from training.gans.wgan_gp import WganGp
from training.loop.ranks import ranks_on
from training.streams.stream import to_unit_floats

EPOCHS = 3


def train(dataset: Path, output: Path, batch_size: int) -> None:
    settings = gan_recipe(dataset, WganGp(n_critic=2), batch_size=batch_size, ema_decay=0.0, lr=2e-4)
    with ranks_on("cpu", "float32") as ranks:
        training = gan_training_on(settings, ranks)
        run_epochs(training, EPOCHS)
        if ranks.is_first:
            torch.save(gan_weights(training), output)


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[assignment, method-assign]
    gan.to_unit_floats = lambda images, device: to_unit_floats(images, device).double()  # type: ignore[attr-defined]
    train(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
