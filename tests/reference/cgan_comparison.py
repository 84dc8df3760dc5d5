"""How varied a conditional GAN's images of a class are over its training: ours, its plain twin, and the public code's.

    python tests/reference/cgan_comparison.py DATASETS/gtsrb [--size-px 28] [--steps 4000] [--every 1000] [--seed 0]

All take steps of 30 images. `spread` is the root mean square difference of two images of a class, over the classes, on
the scale of [0, 1]; real images have that of the first line. `duplicates` are those of the training's warning."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from public_cgan import Twin, twin, twin_steps

from pipelines.settings import load
from training.evaluation.gans.images_in_memory import read_images
from training.gans.run import Outside, open_gan
from training.gans.settings import TrainGan
from training.gans.watch import duplicate_rate
from training.loop.ranks import Ranks
from training.streams.stream import Data

CONFIG = Path(__file__).parents[2] / "conf" / "train_gan.yaml"
COUNT, BATCH, SAME_RMS = 16, 30, 0.02
Sampled = Callable[[torch.Tensor], torch.Tensor]


def spread(images: torch.Tensor, labels: torch.Tensor) -> float:
    found = []
    for label in labels.unique():
        of_class = images[labels == label].flatten(1).double()
        found.append((torch.pdist(of_class) / of_class.shape[1] ** 0.5).mean())
    return float(torch.stack(found).mean())


def ours(data: list[str], seed: int) -> tuple[Iterator[object], Sampled]:
    overrides = ["gan=conditional", *data, f"seed={seed}", "ema_decay=0", "epochs=1000", "device=cpu"]
    training = open_gan(load(TrainGan, CONFIG, overrides), Ranks(torch.device("cpu")), Outside())

    def steps() -> Iterator[object]:
        while True:
            yield from training.steps()
            training.finish_epoch()

    return steps(), lambda labels: training.sampled().sample(labels, torch.Generator().manual_seed(1))


def of_twin(players: Twin, images: torch.Tensor, labels: torch.Tensor, seed: int) -> tuple[Iterator[object], Sampled]:
    @torch.no_grad()
    def sampled(asked: torch.Tensor) -> torch.Tensor:
        players.generator.eval()
        made: torch.Tensor = players.generator(torch.randn(len(asked), 100, generator=torch.Generator()), asked)
        players.generator.train()
        return made.add(1).div(2)

    return twin_steps(players, images, labels, BATCH, seed), sampled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root")
    for name, value in (("size-px", 28), ("steps", 4000), ("every", 1000), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    real = read_images(Data(root=given.root, size_px=given.size_px), "train")
    flat, classes = real.pixels.flatten(1).float().div(127.5).sub(1), real.num_classes
    asked = torch.arange(classes).repeat_interleave(COUNT)
    rows = torch.cat([torch.nonzero(real.labels == label)[:, 0][::10][:COUNT] for label in range(classes)])
    print(f"real images: spread {spread(real.pixels[rows].float() / 255, real.labels[rows]):.3f}", flush=True)
    values = flat.shape[1]
    data = [f"data.root={given.root}", f"data.size_px={given.size_px}"]
    for name, (steps, sampled) in (
        ("ours", ours(data, given.seed)),
        ("twin", of_twin(twin(False, classes, values, given.seed), flat, real.labels, given.seed)),
        ("public code", of_twin(twin(True, classes, values, given.seed), flat, real.labels, given.seed)),
    ):
        for step, _ in zip(range(1, given.steps + 1), steps, strict=False):
            if step % given.every == 0:
                made = sampled(asked)
                of_both = spread(made, asked), duplicate_rate(made, asked, SAME_RMS)
                print(f"{name}: step {step}: spread {of_both[0]:.3f}, duplicates {of_both[1]:.3f}", flush=True)


if __name__ == "__main__":
    main()
