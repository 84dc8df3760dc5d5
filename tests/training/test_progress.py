import io
from pathlib import Path

from rich.console import Console
from small_runs import recipe, training, write_dataset

from training.progress import EpochProgress, epoch_line


def test_the_bar_has_rate_loss_and_waiting_and_every_step_is_taken(tmp_path: Path) -> None:
    to_train = training(recipe(write_dataset(tmp_path)))
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200)
    assert sum(1 for _ in EpochProgress(console, to_train, to_train.train, epochs=2).steps()) == 6
    shown = screen.getvalue()
    for part in ("epoch 1/2", "6/6", "loss ", " images/s, ", "% waiting for data"):
        assert part in shown, part
    to_train.finish_epoch()
    line = epoch_line(1, 2, to_train.metrics)
    assert line.startswith("epoch 1/2: loss ")
    assert f"validation: loss {to_train.metrics['loss/validation']:.4f}" in line
