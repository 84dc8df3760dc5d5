from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import recipe, write_dataset

from pipelines.console import make_console
from training.classifiers.run import TrackedClassifier
from training.loop.checkpoints import Checkpoint, CheckpointError
from training.loop.ranks import Ranks
from training.loop.run_folder import RunFolder


def test_paths_of_runs_are_not_broken_and_never_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracked = TrackedClassifier(recipe(write_dataset(tmp_path)), Ranks(torch.device("cpu")))
    tracked.console = make_console()
    for name in ("[old] #2", "[/red]", ":car:", "x" * 150):
        tracked.folder = RunFolder(tmp_path / name)
        tracked.folder.path.mkdir(parents=True)
        tracked.save_checkpoint()
        tracked.resume()
        assert capsys.readouterr().out == f"resuming {tmp_path / name} after epoch 0, step 0\n"
    tracked.console = make_console(quiet=True)
    tracked.resume()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("state", [{}, {"players": 5}, {"players": {"classifier": {"network": 3}}}])
def test_a_state_that_does_not_match_the_training_is_named(state: dict[str, Any], tmp_path: Path) -> None:
    tracked = TrackedClassifier(recipe(write_dataset(tmp_path)), Ranks(torch.device("cpu")))
    tracked.folder = RunFolder(tmp_path / "run")
    Checkpoint({"kind": tracked.kind}, state).write(tracked.folder.checkpoint)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: does not fit this training; use resume=never"):
        tracked.resume()
