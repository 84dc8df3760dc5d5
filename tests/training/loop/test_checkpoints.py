import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.loop.checkpoints import Checkpoint, CheckpointError

CPU = torch.device("cpu")
WRITE_FOR_EVER = """
import itertools, sys, torch
from pathlib import Path
from training.loop.checkpoints import Checkpoint
for step in itertools.count():
    Checkpoint({"step": step}, {"weights": torch.full((300_000,), float(step))}).write(Path(sys.argv[1]))
    print(step, flush=True)
"""


def checkpoint(step: int = 3) -> Checkpoint:
    weights = torch.arange(6.0).view(2, 3)
    return Checkpoint({"model": {"kind": "baseline_cnn"}, "size_px": 40}, {"weights": weights, "step": step})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    checkpoint().write(tmp_path / "runs" / "last.pt")
    found = Checkpoint.read(tmp_path / "runs" / "last.pt", CPU, size_px=40)
    assert found.settings == checkpoint().settings
    assert torch.equal(found.state["weights"], checkpoint().state["weights"])
    assert found.state["step"] == 3
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["last.pt"]


def test_a_killed_writer_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(3):
                last = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
        found = Checkpoint.read(path, CPU)
        assert found.settings["step"] >= last
        assert torch.equal(found.state["weights"], torch.full((300_000,), float(found.settings["step"])))


def test_an_unwritable_path_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"file/last\.pt: cannot be written"):
        checkpoint().write(tmp_path / "file" / "last.pt")


def test_a_failing_write_keeps_the_old_one_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint().write(tmp_path / "last.pt")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        checkpoint(step=4).write(tmp_path / "last.pt")
    assert Checkpoint.read(tmp_path / "last.pt", CPU).state["step"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_damaged_foreign_and_missing_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        Checkpoint.read(path, CPU)
    checkpoint().write(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match="damaged"):
        Checkpoint.read(path, CPU)
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged"):
        Checkpoint.read(path, CPU)
    torch.save({"weights": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not a roadsign-robustness checkpoint"):
        Checkpoint.read(path, CPU)


@pytest.mark.parametrize(
    "contents", [{}, {"settings": {}}, {"state": {}}, {"settings": [], "state": {}}, {"settings": {}, "state": {1: 2}}]
)
def test_a_checkpoint_without_settings_or_state_is_named(tmp_path: Path, contents: dict[str, object]) -> None:
    torch.save({"format": "roadsign-robustness checkpoint 1", **contents}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match=r"last\.pt: corrupt: its settings or its state are missing"):
        Checkpoint.read(tmp_path / "last.pt", CPU, kind="classifier")


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "ran"),))

    torch.save({"format": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    for name in ("evil.pt", "evil.pkl"):
        with pytest.raises(CheckpointError, match="corrupt, or not a roadsign-robustness checkpoint"):
            Checkpoint.read(tmp_path / name, CPU)
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    checkpoint().write(tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match="size_px is 40, expected 28"):
        Checkpoint.read(tmp_path / "last.pt", CPU, size_px=28)
