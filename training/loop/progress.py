"""Console output of a running training."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.loop.training import Training

__all__ = ["EpochProgress", "losses_line", "pace_line"]

_NOTABLE = 0.1


class EpochProgress:
    """A progress bar per epoch: images per second, loss, and the share of time spent waiting for data."""

    def __init__(self, console: Console, training: Training, epochs: int) -> None:
        self.console = console
        self.training = training
        self.epochs = epochs

    def steps(self) -> Iterator[None]:
        """The steps of the current epoch, shown as they are taken."""
        training = self.training
        with self._bar() as bar:
            task = bar.add_task(
                f"epoch {training.epoch + 1}/{self.epochs}",
                total=len(training.train),
                completed=training.step,
                rate="",
                loss="",
            )
            for means in training.steps():
                if means is not None:
                    pace = training.pace.metrics(training.train.share.global_batch_size)
                    rate = f"{pace['images_per_s']:,.0f} images/s, {pace['data_wait_share']:.0%} waiting for data"
                    bar.update(task, completed=training.step, rate=rate, loss=losses_line(means))
                yield

    @contextmanager
    def _bar(self) -> Iterator[Progress]:
        columns = ("{task.description}", "{task.fields[loss]}", "{task.fields[rate]}")
        epoch, loss, rate = (TextColumn(column, markup=False) for column in columns)
        with Progress(
            epoch, BarColumn(), MofNCompleteColumn(), loss, rate, TimeRemainingColumn(),
            console=self.console, transient=True, disable=not self.console.is_terminal,
        ) as bar:  # fmt: skip
            yield bar


def losses_line(metrics: Mapping[str, float]) -> str:
    """The losses among the metrics, by their names in MLflow."""
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if name.startswith("loss/"))


def pace_line(metrics: Mapping[str, float]) -> str:
    """Waiting for data is said where it costs time."""
    waiting = f", {metrics['data_wait_share']:.0%} waiting for data" if metrics["data_wait_share"] >= _NOTABLE else ""
    return f"{metrics['images_per_s']:,.0f} images/s{waiting}"
