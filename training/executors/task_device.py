"""The device of a Spark task, and the network that it received."""

from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from training.classifiers.foreign.classifier import SUFFIX, ForeignClassifier
from training.classifiers.trained import Classifier
from training.executors.errors import ExecutorError
from training.loop.ranks import keep_freed_memory

__all__ = ["read_network", "task_device"]


def task_device(threads: int, gpu: str | None) -> torch.device:
    """The CPU with `threads` threads, or the GPU of that address. Raises ExecutorError."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    if gpu is not None and not torch.cuda.is_available():
        raise ExecutorError(f"Spark gives this task GPU {gpu}, but PyTorch finds none; do not give GPUs to executors")
    return torch.device("cpu" if gpu is None else f"cuda:{gpu}")


@lru_cache(maxsize=1)
def read_network(path: Path, device: torch.device) -> nn.Module:
    """Read once per Python worker, which runs one task after the other. Raises CheckpointError and ForeignError."""
    read = ForeignClassifier.read if path.suffix == SUFFIX else Classifier.read
    return read(path, device).network.requires_grad_(False)
