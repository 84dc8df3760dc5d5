"""One training run of a GAN from its settings to a tracked generator: on this device, or as one of many ranks."""

from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from torch import nn

from pipelines.errors import SettingsError
from training.classifiers.trained import Classifier
from training.gans.figures import animate, draw_grid, save_losses
from training.gans.latents import NoiseImages
from training.gans.samples import FixedSamples, fixed_samples
from training.gans.settings import TrainGan
from training.gans.trained import GanShape
from training.gans.training import GanTraining
from training.gans.watch import duplicate_rate
from training.loop.bfloat16_check import check_bfloat16
from training.loop.progress import EpochProgress, gan_epoch_line, make_console
from training.loop.ranks import Ranks, keep_freed_memory, ranks_on
from training.loop.run_folder import RunFolder
from training.loop.tracked_training import (
    Command,
    dataset_digests,
    opened_split,
    resumed,
    run_folder,
    save_checkpoint,
    tracked,
)
from training.streams.stream import Batches
from training.tracking import TrackedRun

__all__ = ["Outside", "describe_gan_run", "open_gan", "train_gan"]

KIND = "GAN training"


class Outside(NamedTuple):
    """What a GAN may need besides images: what draws a noise_image latent, and the classifier that is to be fooled."""

    noise_images: NoiseImages | None = None
    classifier: Classifier | None = None

    @property
    def digests(self) -> dict[str, str]:
        return {"classifier": self.classifier.digest} if self.classifier else {}


def train_gan(settings: TrainGan, command: Command, outside: Outside) -> None:
    """Trains, keeps checkpoints, tracks; of many ranks the first one speaks and writes. Raises RoadsignError."""
    keep_freed_memory()
    with ranks_on(settings.device, settings.precision) as ranks:
        console = make_console(quiet=not ranks.is_first)
        training = open_gan(settings, ranks, outside)
        console.print(_describe(training))
        _check_precision(training)
        digests = {**dataset_digests(training.train), **outside.digests}
        with (
            run_folder(settings, ranks, settings.gan.kind, digests, command) as folder,
            tracked(settings, ranks, [training.train], folder, command) as run,
        ):
            resumed(training, folder, KIND, console)
            whole = _Run(training, folder, run, console, digests)
            whole.train()
            if run:
                whole.finish(run)
                console.print(f"generator: {folder.model}\nrun:       {run.run_id}")


def describe_gan_run(settings: TrainGan, outside: Outside) -> str:
    """What would be trained, in one line. Raises RoadsignError where it could not."""
    with ranks_on(settings.device, settings.precision) as ranks:
        return _describe(open_gan(settings, ranks, outside))


def open_gan(settings: TrainGan, ranks: Ranks, outside: Outside) -> GanTraining:
    """Raises RoadsignError."""
    train: Batches = opened_split(settings, ranks, "train", settings.classes)
    shape = GanShape.of(train, settings.classes)
    classifier = _fixed(outside.classifier, settings, shape, ranks) if outside.classifier else None
    return GanTraining(settings, shape, ranks, train, outside.noise_images, classifier)


def _check_precision(training: GanTraining) -> None:
    """Of both players, on as many images as they see in a step. Raises SettingsError."""
    settings, size_px, players = training.settings, training.shape.size_px, training.players
    generator = torch.Generator().manual_seed(settings.seed)
    labels = torch.zeros(2 * settings.batch_size, dtype=torch.int64)
    latent = torch.rand(settings.batch_size, *settings.gan.latent.shape(size_px), generator=generator)
    images = torch.rand(len(labels), 3, size_px, size_px, generator=generator).mul_(2).sub_(1)
    check_bfloat16(training.ranks, players.generator, latent, labels[: len(latent)])
    for count in (settings.batch_size, 2 * settings.batch_size):  # real and generated images, apart and together
        check_bfloat16(training.ranks, players.discriminator, images[:count], labels[:count])


def _fixed(classifier: Classifier, settings: TrainGan, shape: GanShape, ranks: Ranks) -> nn.Module:
    """The classifier's network, not to be trained. Raises SettingsError where it is not for these images."""
    own = classifier.shape
    if own.size_px != shape.size_px:
        raise SettingsError(
            f"gan.classifier={settings.gan.fools}: is for images of {own.size_px} px; set data.size_px={own.size_px}"
        )
    highest, target = max(shape.classes), getattr(settings.gan, "target", None)
    if highest >= own.num_classes:
        raise SettingsError(
            f"gan.classifier={settings.gan.fools}: knows {own.num_classes} classes, and there are images of class "
            f"{highest}; choose one that was trained on this dataset"
        )
    if target is not None and target >= own.num_classes:
        raise SettingsError(f"gan.target={target}: the classifier has classes 0 to {own.num_classes - 1}")
    return classifier.network.to(ranks.device).requires_grad_(False)


def _describe(training: GanTraining) -> str:
    settings, train, ranks = training.settings, training.train, training.ranks
    sizes = [sum(parameter.numel() for parameter in player.parameters()) for player in training.players]
    return (
        f"{settings.gan.kind}, {sizes[0]:,} + {sizes[1]:,} parameters, on {train.images:,} images of "
        f"{training.shape.size_px} px in {len(training.shape.classes)} classes: {settings.epochs} epochs of "
        f"{len(train):,} steps; device {ranks.device}, {ranks.world_size} ranks"
    )


class _Run:
    """The epochs of a training, and what is looked at meanwhile."""

    def __init__(
        self, training: GanTraining, folder: RunFolder, run: TrackedRun | None, console: Console,
        digests: dict[str, str],
    ) -> None:  # fmt: skip
        self.training = training
        self.folder = folder
        self.run = run
        self.console = console
        self.digests = digests
        self.fixed: FixedSamples | None = None
        if run:
            self.fixed = fixed_samples(training.gan, training.shape, training.train, training.settings.seed)

    def train(self) -> None:
        training, settings = self.training, self.training.settings
        progress = EpochProgress(self.console, training, training.train, settings.epochs)
        while training.epoch < settings.epochs:
            for _ in progress.steps():
                self._warn()
                if training.step < len(training.train):
                    self._between(settings.checkpoint_every_steps, settings.sample_every_steps)
            training.finish_epoch()
            self._sample()
            self.console.print(gan_epoch_line(training.epoch, settings.epochs, training.metrics))
            if self.run:
                self.run.log_metrics(training.metrics, training.epoch)
            if self.run and training.epoch in settings.keep_epochs:
                self._keep(self.run, self.folder.path / f"epoch-{training.epoch:04d}.pt")
            save_checkpoint(training, self.folder, KIND)

    def _between(self, checkpoint_every: int, sample_every: int) -> None:
        if sample_every and self.training.steps_taken % sample_every == 0:
            self._sample()
        if checkpoint_every and self.training.step % checkpoint_every == 0:
            save_checkpoint(self.training, self.folder, KIND)

    def _sample(self) -> None:
        """A picture of the same latents, and whether the generator has collapsed."""
        if self.run is None or self.fixed is None:
            return
        training = self.training
        images = self.fixed.of(training.sampled())
        path = self.folder.path / "samples" / f"step-{training.steps_taken:08d}.png"
        self.run.log_file(draw_grid(self.fixed.beside_inputs(images), self.fixed.columns, path), "samples")
        rate = duplicate_rate(images, self.fixed.labels, training.settings.watch.same_rms)
        self.run.log_metrics({"samples/duplicates": rate}, training.steps_taken)
        training.warnings += training.watcher.samples(rate, training.steps_taken)
        self._warn()

    def _warn(self) -> None:
        for warning in self.training.warnings:
            self.console.print(f"warning: step {self.training.steps_taken}: {warning}")
            if self.run:
                self.run.set_tags({"warning": warning})
        self.training.warnings.clear()

    def _keep(self, run: TrackedRun, path: Path) -> None:
        training, settings = self.training, self.training.settings.model_dump(mode="json")
        about = {"settings": settings, "datasets": self.digests, "run_id": run.run_id, "metrics": training.metrics}
        training.trained(about).write(path)
        run.log_file(path, "checkpoint")

    def finish(self, run: TrackedRun) -> None:
        training, folder = self.training, self.folder
        self._keep(run, folder.model)
        grids = sorted((folder.path / "samples").glob("step-*.png"))
        run.log_file(animate(grids, folder.path / "samples.gif"), "samples")
        title = f"{training.gan.kind}, {training.shape.size_px} px"
        run.log_file(save_losses(training.history, title, Path(folder.path, "losses.png")), "figures")
        folder.add_to_record(finished=True)
