import io
from pathlib import Path

import pytest
from rich.console import Console
from small_runs import recipe, training, write_dataset

from training.loop.progress import EpochProgress, losses_line, pace_line


def test_the_bar_has_rate_loss_and_waiting_and_every_step_is_taken(tmp_path: Path) -> None:
    to_train = training(recipe(write_dataset(tmp_path)))
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200)
    assert sum(1 for _ in EpochProgress(console, to_train, epochs=2).steps()) == 6
    shown = screen.getvalue()
    for part in ("epoch 1/2", "6/6", "loss/train ", " images/s, ", "% waiting for data"):
        assert part in shown, part
    to_train.finish_epoch()
    assert losses_line(to_train.metrics).startswith(
        f"loss/train {to_train.metrics['loss/train']:.4f}, loss/validation "
    )
    assert pace_line({"images_per_s": 5432.1, "data_wait_share": 0.0123}) == "5,432 images/s"
    assert pace_line({"images_per_s": 5432.1, "data_wait_share": 0.123}) == "5,432 images/s, 12% waiting for data"


def test_nothing_is_drawn_where_there_is_no_terminal(tmp_path: Path) -> None:
    to_train, screen = training(recipe(write_dataset(tmp_path))), io.StringIO()
    assert sum(1 for _ in EpochProgress(Console(file=screen, force_terminal=False), to_train, epochs=2).steps()) == 6
    assert screen.getvalue() == ""


def test_losses_named_like_markup_are_shown_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to_train = training(recipe(write_dataset(tmp_path)))
    monkeypatch.setattr(to_train, "steps", lambda: iter([{"loss/[/red]": 1.0}]))
    screen = io.StringIO()
    list(EpochProgress(Console(file=screen, force_terminal=True, width=200), to_train, epochs=1).steps())
    assert "loss/[/red] 1.0000" in screen.getvalue()
