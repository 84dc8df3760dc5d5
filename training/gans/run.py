"""One training run of a GAN from its settings to a tracked generator."""

from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
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
from training.loop.progress import losses_line, pace_line
from training.loop.ranks import Ranks
from training.loop.tracked_training import (
    Command,
    TrackedTraining,
    describe_training,
    opened_split,
    run_training,
    variant_digests,
)
from training.streams.stream import Batches
from training.tracking import TrackedRun

__all__ = ["Outside", "describe_gan_run", "open_gan", "train_gan"]


class Outside(NamedTuple):
    """Further inputs of a GAN besides images: a function that draws noise_image latents, and the classifier to fool."""

    noise_images: NoiseImages | None = None
    classifier: Classifier | None = None

    @property
    def digests(self) -> dict[str, str]:
        return {"classifier": self.classifier.digest} if self.classifier else {}


def train_gan(settings: TrainGan, command: Command, outside: Outside) -> None:
    """Trains, writes checkpoints, tracks; only rank 0 logs and writes. Raises RoadsignError."""
    run_training(settings, command, lambda ranks: TrackedGan(settings, ranks, outside))


def describe_gan_run(settings: TrainGan, outside: Outside) -> str:
    """What would be trained, in one line. Raises RoadsignError if it could not be trained."""
    return describe_training(settings, lambda ranks: TrackedGan(settings, ranks, outside))


def open_gan(settings: TrainGan, ranks: Ranks, outside: Outside) -> GanTraining:
    """Raises RoadsignError."""
    train: Batches = opened_split(settings, ranks, "train", settings.classes)
    shape = GanShape.of(train, settings.classes)
    classifier = _fixed(outside.classifier, settings, shape, ranks) if outside.classifier else None
    return GanTraining(settings, shape, ranks, train, outside.noise_images, classifier)


def _fixed(classifier: Classifier, settings: TrainGan, shape: GanShape, ranks: Ranks) -> nn.Module:
    """The classifier's network, frozen. Raises SettingsError if it does not fit these images."""
    own = classifier.shape
    if own.size_px != shape.size_px:
        raise SettingsError(
            f"gan.classifier={settings.gan.fools}: is for images of {own.size_px} px; set data.size_px={own.size_px}"
        )
    highest, target = max(shape.classes), getattr(settings.gan, "target", None)
    if highest >= own.num_classes:
        raise SettingsError(
            f"gan.classifier={settings.gan.fools}: has {own.num_classes} classes, but there are images of class "
            f"{highest}; choose one that was trained on this dataset"
        )
    if target is not None and target >= own.num_classes:
        raise SettingsError(f"gan.target={target}: the classifier has classes 0 to {own.num_classes - 1}")
    return classifier.network.to(ranks.device).requires_grad_(False)


class TrackedGan(TrackedTraining):
    """Adds to every training: samples of the same latents at intervals, warnings, generators of chosen epochs."""

    kind: ClassVar[str] = "GAN training 2"
    training: GanTraining
    settings: TrainGan

    def __init__(self, settings: TrainGan, ranks: Ranks, outside: Outside) -> None:
        training = open_gan(settings, ranks, outside)
        digests = {**variant_digests(training.train.source), **outside.digests}
        super().__init__(training, settings, settings.gan.kind, [training.train], digests)

    def describe(self) -> str:
        training, ranks = self.training, self.training.ranks
        sizes = [sum(parameter.numel() for parameter in player.parameters()) for player in training.players]
        return (
            f"{self.name}, {sizes[0]:,} + {sizes[1]:,} parameters, on {training.train.images:,} images of "
            f"{training.shape.size_px} px in {len(training.shape.classes)} classes: {self.settings.epochs} epochs of "
            f"{len(training.train):,} steps; device {ranks.device}, {ranks.world_size} ranks"
        )

    def check_precision(self) -> None:
        """Checks both players, on as many images as they see in a step."""
        settings, size_px, players = self.settings, self.training.shape.size_px, self.training.players
        generator = torch.Generator().manual_seed(settings.seed)
        labels = torch.zeros(2 * settings.batch_size, dtype=torch.int64)
        latent = torch.rand(settings.batch_size, *settings.gan.latent.shape(size_px), generator=generator)
        sides = self.training.shape.channels, size_px, size_px
        images = torch.rand(len(labels), *sides, generator=generator).mul_(2).sub_(1)
        check_bfloat16(self.training.ranks, players.generator, latent, labels[: len(latent)])
        for count in (
            settings.batch_size,
            2 * settings.batch_size,
        ):  # real and generated images, separately and together
            check_bfloat16(self.training.ranks, players.discriminator, images[:count], labels[:count])

    def epoch_line(self) -> str:
        metrics = self.training.metrics
        return f"{losses_line(metrics)}; {pace_line(metrics)}"

    @cached_property
    def fixed(self) -> FixedSamples:
        training = self.training
        return fixed_samples(training.gan, training.shape, training.train, self.settings.seed)

    def after_step(self) -> None:
        self._warn()
        every = self.settings.sample_every_steps
        if every and self.training.steps_taken % every == 0:
            self._sample()

    def after_epoch(self) -> None:
        self._sample()
        self._warn()
        epoch = self.training.epoch
        if self.run and epoch in self.settings.keep_epochs:
            self._keep(self.run, self.folder.path / f"epoch-{epoch:04d}.pt")

    def finish(self, run: TrackedRun) -> None:
        folder = self.folder
        self._keep(run, folder.model)
        grids = sorted((folder.path / "samples").glob("step-*.png"))
        run.log_file(animate(grids, folder.path / "samples.gif"), "samples")
        title = f"{self.name}, {self.training.shape.size_px} px"
        collapses = self.training.watcher.collapses
        run.log_file(save_losses(self.training.history, title, collapses, Path(folder.path, "losses.png")), "figures")

    def _sample(self) -> None:
        """Draws samples of the same latents, and checks whether the generator has collapsed."""
        if self.run is None:
            return
        training = self.training
        images = self.fixed.of(training.sampled())
        path = self.folder.path / "samples" / f"step-{training.steps_taken:08d}.png"
        caption = f"{self.name}: step {training.steps_taken:,}, epoch {training.epoch}"
        shown = self.fixed.beside_inputs(images)
        grid = draw_grid(shown, self.fixed.columns, path, caption, self.fixed.row_names)
        self.run.log_file(grid, "samples")
        rate = duplicate_rate(images, self.fixed.labels, self.settings.watch.same_rms)
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
        training, settings = self.training, self.settings.model_dump(mode="json")
        about = {"settings": settings, "datasets": self.digests, "run_id": run.run_id, "metrics": training.metrics}
        training.trained(about).write(path)
        run.log_file(path, "checkpoint")
