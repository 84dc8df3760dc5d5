import io
from pathlib import Path

import pytest
from rich.console import Console
from small_runs import recipe, training, write_dataset

from training.loop.progress import EpochProgress, epoch_line, make_console
from training.loop.run_folder import RunFolder
from training.loop.tracked_training import resumed, save_checkpoint


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


def test_paths_of_runs_are_said_whole_and_never_as_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to_train = training(recipe(write_dataset(tmp_path)))
    console = make_console(quiet=False)
    for name in ("[old] #2", "[/red]", ":car:", "x" * 150):
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir(parents=True)
        save_checkpoint(to_train, folder, "test")
        resumed(to_train, folder, "test", console)
        assert capsys.readouterr().out == f"going on after epoch 0, step 0 of {tmp_path / name}\n"
    assert not make_console(quiet=True).print("x") and capsys.readouterr().out == ""


def test_losses_named_like_markup_are_shown_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to_train = training(recipe(write_dataset(tmp_path)))
    monkeypatch.setattr(to_train, "steps", lambda: iter([{"[/red]": 1.0}]))
    screen = io.StringIO()
    list(EpochProgress(Console(file=screen, force_terminal=True, width=200), to_train, to_train.train, 1).steps())
    assert "[/red] 1.0000" in screen.getvalue()
