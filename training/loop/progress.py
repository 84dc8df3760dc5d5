"""What a training says on the console while it runs."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.loop.pace import Pace
from training.streams.stream import Epochs

__all__ = ["EpochProgress", "epoch_line", "gan_epoch_line", "make_console"]

Losses = float | Mapping[str, float]
"""One, or several by name."""


class Training(Protocol):
    """What is shown of a training."""

    epoch: int
    step: int
    pace: Pace

    def steps(self) -> Iterable[Losses | None]: ...


def make_console(*, quiet: bool) -> Console:
    """As pipelines.console has it for the jobs: text is never markup, and no path is broken into lines."""
    return Console(quiet=quiet, markup=False, emoji=False, highlight=False, soft_wrap=True)


class EpochProgress:
    """A bar per epoch: images per second, loss, and the share of time spent waiting for data."""

    def __init__(self, console: Console, training: Training, batches: Epochs, epochs: int) -> None:
        self.console = console
        self.training = training
        self.batches = batches
        self.epochs = epochs

    def steps(self) -> Iterator[None]:
        """The steps of the training's epoch, shown as they are taken."""
        training = self.training
        with self._bar() as bar:
            task = bar.add_task(
                f"epoch {training.epoch + 1}/{self.epochs}",
                total=len(self.batches),
                completed=training.step,
                rate="",
                loss="",
            )
            for loss in training.steps():
                if loss is not None:
                    pace = training.pace.metrics(self.batches.share.global_batch_size)
                    rate = f"{pace['images_per_s']:,.0f} images/s, {pace['data_wait_share']:.0%} waiting for data"
                    bar.update(task, completed=training.step, rate=rate, loss=_shown(loss))
                yield

    @contextmanager
    def _bar(self) -> Iterator[Progress]:
        columns = ("{task.description}", "{task.fields[loss]}", "{task.fields[rate]}")
        epoch, loss, rate = (TextColumn(column, markup=False) for column in columns)
        with Progress(
            epoch, BarColumn(), MofNCompleteColumn(), loss, rate, TimeRemainingColumn(),
            console=self.console, transient=True,
        ) as bar:  # fmt: skip
            yield bar


def epoch_line(epoch: int, epochs: int, metrics: Mapping[str, float]) -> str:
    return (
        f"epoch {epoch}/{epochs}: loss {metrics['loss/train']:.4f}, accuracy {metrics['accuracy/train']:.2%}; "
        f"validation: loss {metrics['loss/validation']:.4f}, accuracy {metrics['accuracy/validation']:.2%}; "
        f"{metrics['images_per_s']:,.0f} images/s, {metrics['data_wait_share']:.1%} waiting for data"
    )


def gan_epoch_line(epoch: int, epochs: int, metrics: Mapping[str, float]) -> str:
    losses = {name.removeprefix("loss/"): loss for name, loss in metrics.items() if name.startswith("loss/")}
    return (
        f"epoch {epoch}/{epochs}: {_shown(losses)}; {metrics['images_per_s']:,.0f} images/s, "
        f"{metrics['data_wait_share']:.1%} waiting for data"
    )


def _shown(losses: Losses) -> str:
    if isinstance(losses, float):
        return f"loss {losses:.4f}"
    return ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items())
