import ctypes
import socket
from pathlib import Path

import pytest
import torch
from small_runs import STILL, recipe, write_dataset

from pipelines.errors import SettingsError
from training.classifiers.run import open_splits
from training.classifiers.trained import Shape
from training.classifiers.training import ClassifierTraining
from training.loop import ranks as distributed
from training.loop.ranks import keep_freed_memory, ranks_on
from training.models.baseline_cnn import BaselineCnn


def first_losses(root: Path, precision: str) -> tuple[float, torch.dtype]:
    settings = recipe(root, model=BaselineCnn(), augmentation=STILL, precision=precision)
    with ranks_on("cpu", settings.precision) as ranks:
        train, validation = open_splits(settings, ranks)
        training = ClassifierTraining(settings, Shape.of(train), ranks, train, validation)
        for _ in training.steps():
            pass
        training.finish_epoch()
        seen = []
        layer = training.network[1][0]
        layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
        with ranks.precision():
            training.network(torch.rand(2, 3, 8, 8))
        return training.metrics["loss/train"], seen[0]


def test_bfloat16_computes_in_bfloat16_and_gives_nearly_the_same_loss(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    (exact, exact_dtype), (rough, rough_dtype) = first_losses(tmp_path, "float32"), first_losses(tmp_path, "bfloat16")
    assert (exact_dtype, rough_dtype) == (torch.float32, torch.bfloat16)
    assert rough == pytest.approx(exact, rel=0.02)
    assert rough != exact


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named() -> None:
    with (
        pytest.raises(SettingsError, match="device=cuda: 1 needed on this machine, 0 found"),
        ranks_on("cuda", "float32"),
    ):
        pass


RANKED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TWO = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1"}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2, but RANK is not set; start the ranks with torchrun"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE=two: expected a number of at least 1"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE=0: expected a number of at least 1"),
        ({"RANK": "-1"}, "RANK=-1: expected a number of at least 0"),
        ({"RANK": "3"}, "RANK=3 is not below WORLD_SIZE=1"),
        ({"LOCAL_RANK": ""}, "LOCAL_RANK=: expected a number"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, "MASTER_ADDR is not set; start the ranks with torchrun"),
        (TWO, "MASTER_PORT is not set; start the ranks with torchrun"),
        ({**TWO, "MASTER_PORT": "http"}, "MASTER_PORT=http: expected a number"),
        ({**TWO, "MASTER_PORT": "70000"}, "MASTER_PORT=70000, rank 0, gloo: port must have value from 0 to 65535"),
        ({**TWO, "MASTER_PORT": "taken"}, r"MASTER_PORT=\d+, rank 0, gloo: .*another program uses this port; choose"),
        ({**TWO, "RANK": "1", "MASTER_PORT": "1"}, "MASTER_ADDR=127.0.0.1 MASTER_PORT=1, rank 1, gloo: .*reach that"),
        ({**TWO, "RANK": "1", "MASTER_PORT": "1", "MASTER_ADDR": "nowhere.invalid"}, "MASTER_ADDR=nowhere.invalid"),
    ],
)
def test_ranks_that_cannot_find_each_other_name_the_variable(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    monkeypatch.setattr(distributed, "JOIN_S", 1)
    for name in RANKED:
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("", 0)) as taken:
        for name, value in variables.items():
            monkeypatch.setenv(name, str(taken.getsockname()[1]) if value == "taken" else value)
        with pytest.raises(SettingsError, match=said) as error, ranks_on("cpu", "float32"):
            pass
    assert "\n" not in str(error.value)


class MallInfo(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    )


def test_large_tensors_come_from_memory_that_is_kept() -> None:
    """Not from the kernel by mmap, which malloc would return when they are freed."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        pytest.skip("not glibc")
    mallinfo.restype = MallInfo
    keep_freed_memory()
    before = mallinfo().hblks
    tensor = torch.empty(64 << 20, dtype=torch.uint8)
    assert mallinfo().hblks == before
    assert len(tensor) == 64 << 20
