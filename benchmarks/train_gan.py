"""Training images per second of the GAN loop, compared with the same networks in a minimal loop; measured, never
asserted.

    python benchmarks/train_gan.py DATASET_ROOT [--runs 3] [--steps 200] [key=value …]

The loop is the project's, with cache=host (or what key=value says). The minimal one has the same networks, losses and
optimizers, and nothing else: its images are one tensor on the device, already in [-1, 1], its latents are drawn in
place, it keeps no average, checks no loss and waits for nothing. Measurements are interleaved, in one process, with the
same initial weights, after one warm-up run; figures are medians. Not for gan=adversarial, nor for
losses of pairs, penalties and augmentations against collapse, such as those of gan=r3gan_small.
"""

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch

from pipelines.settings import load
from training.gans.losses import gradient_penalty
from training.gans.run import Outside, open_gan
from training.gans.settings import TrainGan
from training.gans.training import GanTraining
from training.loop.players import has_batch_norm
from training.loop.ranks import Ranks, keep_freed_memory, ranks_on
from training.streams.stream import to_unit_floats

CONFIG = Path(__file__).parents[1] / "conf" / "train_gan.yaml"


class Minimal:
    """Goodfellow's loop on resident tensors."""

    def __init__(self, settings: TrainGan, opened: GanTraining, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.gan, self.size_px, self.batch_size = settings.gan, settings.data.size_px, settings.batch_size
        self.images, self.labels = images, labels
        players = opened.shape.build(settings.gan, settings.seed)
        self.generator, self.discriminator = (player.to(images.device) for player in players)
        self.of_generator, self.of_discriminator = (
            torch.optim.Adam(player.parameters(), lr=settings.lr, betas=settings.betas, fused=True)
            for player in (self.generator, self.discriminator)
        )
        self.latent_shape = settings.gan.latent.shape(self.size_px)

    def step(self, number: int) -> None:
        chosen = torch.randint(len(self.images), (self.batch_size,), device=self.images.device)
        real, labels = self.images[chosen], self.labels[chosen]
        learns = (number + 1) % self.gan.n_critic == 0
        with torch.set_grad_enabled(learns):
            made = self.generator(torch.randn(self.batch_size, *self.latent_shape, device=real.device), labels)
        of_real, of_made = self._judge(real, made.detach(), labels)
        loss = self.gan.losses.real(of_real).mean() + self.gan.losses.fake(of_made).mean()
        if self.gan.penalty:
            share = torch.rand(self.batch_size, device=real.device)
            penalty = gradient_penalty(self.discriminator, real, made.detach(), labels, share).mean()
            loss = loss + self.gan.penalty * penalty
        self.of_discriminator.zero_grad()
        loss.backward()
        self.of_discriminator.step()
        if learns:
            self.discriminator.requires_grad_(False)
            self.of_generator.zero_grad()
            self.gan.losses.generator(self.discriminator(made, labels)).mean().backward()
            self.of_generator.step()
            self.discriminator.requires_grad_(True)

    def _judge(self, real: torch.Tensor, made: torch.Tensor, labels: torch.Tensor) -> Sequence[torch.Tensor]:
        """In one pass if that is equivalent, like the project's loop: a tenth of the time of `conditional`."""
        if has_batch_norm(self.discriminator):
            return self.discriminator(real, labels), self.discriminator(made, labels)
        judged: torch.Tensor = self.discriminator(torch.cat([real, made]), labels.repeat(2))
        return judged.chunk(2)


def resident(training: GanTraining, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    batches = [
        (to_unit_floats(batch.images, device) * 2 - 1, batch.labels.to(device)) for batch in training.train.epoch(0)
    ]
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return images.contiguous(), labels


def finished_s(start: float, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def measure(settings: TrainGan, ranks: Ranks, runs: int, steps: int) -> dict[str, list[float]]:
    opened = open_gan(settings, ranks, Outside())
    images, labels = resident(opened, ranks.device)
    rates: dict[str, list[float]] = {"minimal loop": [], "the project's loop": []}
    for run in range(runs + 1):
        minimal = Minimal(settings, opened, images, labels)
        start = time.perf_counter()
        for number in range(steps):
            minimal.step(number)
        plain_s = finished_s(start, ranks.device)
        ours = GanTraining(settings, opened.shape, ranks, opened.train)
        start = time.perf_counter()
        taken = sum(1 for _ in islice(ours.steps(), steps))
        ours_s = finished_s(start, ranks.device)
        if run:
            rates["minimal loop"].append(steps * settings.batch_size / plain_s)
            rates["the project's loop"].append(taken * settings.batch_size / ours_s)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_intermixed_args()
    settings = load(TrainGan, CONFIG, [f"data.root={arguments.root}", *arguments.overrides])
    if settings.gan.losses.paired or settings.gan.r1 or settings.gan.r2 or settings.gan.augment:
        parser.error(f"gan={settings.gan.kind}: the minimal loop has no losses of pairs, no r1 and r2, no augment")
    keep_freed_memory()
    with ranks_on(settings.device, settings.precision) as ranks:
        rates = measure(settings, ranks, arguments.runs, arguments.steps)
        device = ranks.device
    medians = {name: statistics.median(found) for name, found in rates.items()}
    print(f"{settings.gan.kind}, {settings.data.size_px} px, batches of {settings.batch_size}, {settings.precision}")
    print(f"{arguments.runs} runs of {arguments.steps} steps on {device}")
    print(f"{torch.get_num_threads()} threads, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}")
    for name, median in medians.items():
        print(f"{median:10,.0f} images/s {median / medians['minimal loop']:6.3f} × minimal loop  {name}")


if __name__ == "__main__":
    main()
