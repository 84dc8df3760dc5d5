"""One joint training from its settings to tracked classifiers, generators, and their comparison."""

from pathlib import Path
from typing import Any, ClassVar

import torch

from training.classifiers.trained import Classifier, Shape
from training.gans.figures import draw_grid
from training.gans.step import loss_names
from training.gans.trained import GanShape, TrainedGan
from training.gans.watch import Watch, Watcher, duplicate_rate
from training.joint.comparison import as_markdown, compare, labels_of, write_comparison
from training.joint.figures import loss_curves
from training.joint.settings import TrainRobust
from training.joint.training import CLASSIC, ROBUST, JointTraining, Pupil
from training.loop.bfloat16_check import check_bfloat16
from training.loop.progress import pace_line
from training.loop.ranks import Ranks
from training.loop.tracked_training import (
    Command,
    TrackedTraining,
    describe_training,
    opened_split,
    run_training,
    variant_digests,
)
from training.streams.rounds import Rounds
from training.streams.stream import to_unit_floats
from training.tracking import TrackedRun

__all__ = ["TrackedJoint", "describe_joint_run", "open_joint", "train_robust"]

COLUMNS = 10
REMEDY = "try a smaller gan.width or lr, or another seed"


def train_robust(settings: TrainRobust, command: Command) -> None:
    """Trains, writes checkpoints, tracks, compares; only rank 0 logs and writes. Raises RoadsignError."""
    run_training(settings, command, lambda ranks: TrackedJoint(settings, ranks))


def describe_joint_run(settings: TrainRobust) -> str:
    """What would be trained, in one line. Raises RoadsignError if it could not be trained."""
    return describe_training(settings, lambda ranks: TrackedJoint(settings, ranks))


def open_joint(settings: TrainRobust, ranks: Ranks) -> JointTraining:
    """Raises RoadsignError."""
    batches = opened_split(settings, ranks, "train")
    train = Rounds(batches, settings.keep_every * settings.gan.n_critic)
    validation = opened_split(settings, ranks, "validation")
    return JointTraining(settings, GanShape.of(batches), Shape.of(batches), ranks, train, validation)


class TrackedJoint(TrackedTraining):
    """Keeps the generator after every epoch of the loop, and compares the classifiers at the end."""

    kind: ClassVar[str] = "joint training 1"
    training: JointTraining
    settings: TrainRobust

    def __init__(self, settings: TrainRobust, ranks: Ranks) -> None:
        training = open_joint(settings, ranks)
        batches = training.train.batches
        streams = [batches, training.validation]
        super().__init__(training, settings, f"joint-{settings.gan.kind}", streams, variant_digests(batches.source))
        self.card = batches.source.card
        self.watcher = Watcher(Watch())

    def describe(self) -> str:
        training, settings = self.training, self.settings
        networks = (*training.players, training.network(training.pupils[0]))
        sizes = " + ".join(f"{sum(parameter.numel() for parameter in one.parameters()):,}" for one in networks)
        return (
            f"{settings.gan.kind} and {settings.classifier.kind}, {sizes} parameters, on "
            f"{training.train.batches.images:,} images of {training.shape.size_px} px, {training.shape.channels} "
            f"channels, in {len(training.gan_shape.classes)} classes: {settings.iterations:,} iterations of "
            f"{settings.gan.n_critic} steps of the critic, {len(training.pupils)} classifiers; device "
            f"{training.ranks.device}, {training.ranks.world_size} ranks"
        )

    def check_precision(self) -> None:
        """Checks each network, on as many images as it sees in a step."""
        settings, training = self.settings, self.training
        draws = torch.Generator().manual_seed(settings.seed)
        labels = torch.zeros(2 * settings.batch_size, dtype=torch.int64)
        latent = torch.rand(settings.batch_size, *settings.gan.latent.shape(settings.data.size_px), generator=draws)
        sides = training.shape.channels, settings.data.size_px, settings.data.size_px
        images = torch.rand(len(labels), *sides, generator=draws)
        check_bfloat16(training.ranks, training.players.generator, latent, labels[: len(latent)])
        for count in (settings.batch_size, 2 * settings.batch_size):
            check_bfloat16(training.ranks, training.players.discriminator, images[:count] * 2 - 1, labels[:count])
            check_bfloat16(training.ranks, training.network(training.pupils[0]), images[:count])

    def epoch_line(self) -> str:
        metrics = self.training.metrics
        losses = ", ".join(f"{name} {metrics[f'loss/{name}']:.4f}" for name in loss_names(self.settings.gan))
        accuracies = ", ".join(
            f"{pupil.name} {metrics[f'accuracy/validation/{pupil.name}']:.2%}" for pupil in self.training.pupils
        )
        return f"iteration {self.training.iteration:,}; {losses}; validation {accuracies}; {pace_line(metrics)}"

    def after_epoch(self) -> None:
        if self.run is None:
            return
        trained = self.training.trained_generator(self._about(self.run))
        path = self._generator_file(self.training.iteration)
        trained.write(path)
        self.run.log_file(path, "generators")
        labels = labels_of(trained.shape.classes, COLUMNS * len(trained.shape.classes)).sort().values
        images = trained.sample(labels, torch.Generator().manual_seed(self.settings.seed))
        grid = draw_grid(images, COLUMNS, self.folder.path / "samples" / f"{path.stem}.png")
        self.run.log_file(grid, "samples")
        rate = duplicate_rate(images, labels, self.watcher.watch.same_rms)
        self.run.log_metrics({"samples/duplicates": rate}, self.training.iteration)
        for warning in self.watcher.samples(rate, self.training.steps_taken):
            self.console.print(f"warning: iteration {self.training.iteration:,}: {warning}; {REMEDY}")
            self.run.set_tags({"warning": warning})

    def finish(self, run: TrackedRun) -> None:
        classifiers = {
            kind: [self._written(run, Pupil(kind, seed)) for seed in self.settings.classifier_seeds]
            for kind in (CLASSIC, ROBUST)
        }
        first = classifiers[ROBUST][0]
        first.write(self.folder.model)
        run.log_file(self.folder.model, "checkpoint")
        example = next(self.training.validation.epoch(0)).images[:2]
        images = to_unit_floats(example, torch.device("cpu"))
        run.log_model(first.network, images, self.card.class_names, first.geometry)
        title = f"{self.settings.gan.kind} on {self.card.name}, {self.training.shape.size_px} px"
        run.log_file(loss_curves(self.training.history, title, self.folder.path / "losses.png"), "figures")
        self._compare(run, classifiers, title)

    def _compare(self, run: TrackedRun, classifiers: dict[str, list[Classifier]], title: str) -> None:
        settings, device = self.settings, self.training.ranks.device
        iterations = range(settings.keep_every, settings.iterations + 1, settings.keep_every)
        generators = {one: TrainedGan.read(self._generator_file(one), device) for one in iterations}
        table = compare(classifiers, settings.data, generators, settings.samples, settings.seed, device)
        for path in write_comparison(table, self.folder.path / "comparison", title):
            run.log_file(path, "comparison")
        for row in table.to_pylist():
            name = f"accuracy/{row['shown']}/{row['classifier']}"
            run.log_metrics({name: row["accuracy"]}, row["iteration"] or settings.iterations)
        self.console.print(as_markdown(table), markup=False, soft_wrap=True)

    def _written(self, run: TrackedRun, pupil: Pupil) -> Classifier:
        """The trained classifier, in a file of its own. Its settings are those of the run, with its own seed."""
        about = self._about(run)
        about["settings"] |= {"trained": pupil.kind, "seed": pupil.seed, "gan_seed": self.settings.seed}
        classifier = self.training.classifier(pupil, about)
        path = self.folder.path / "classifiers" / f"{pupil.name}.pt"
        classifier.write(path)
        run.log_file(path, "classifiers")
        return classifier

    def _about(self, run: TrackedRun) -> dict[str, Any]:
        return {
            "settings": self.settings.model_dump(mode="json"), "datasets": self.digests, "run_id": run.run_id,
            "metrics": self.training.metrics, "card": self.card.model_dump(mode="json"),
        }  # fmt: skip

    def _generator_file(self, iteration: int) -> Path:
        return self.folder.path / "generators" / f"iteration-{iteration:06d}.pt"
