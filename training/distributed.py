"""Where a training runs: its device, its precision, and the ranks that torchrun or TorchDistributor has started."""

import ctypes
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from lightning_fabric import Fabric

from pipelines.errors import SettingsError

__all__ = ["fabric_for", "keep_freed_memory"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


@contextmanager
def fabric_for(device: Literal["auto", "cpu", "cuda"], precision: Literal["float32", "bfloat16"]) -> Iterator[Fabric]:
    """Under torchrun (which TorchDistributor runs too) one of its ranks, otherwise the only one. Raises SettingsError
    where there is no such device."""
    fabric = _make_fabric(device, precision)
    try:
        fabric.launch()
        yield fabric
        fabric.barrier()  # a rank that ends while others are at work takes the group's store with it
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _make_fabric(device: Literal["auto", "cpu", "cuda"], precision: Literal["float32", "bfloat16"]) -> Fabric:
    ranks_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    gpus = torch.cuda.device_count()
    if device == "cuda" and gpus < ranks_here:
        raise SettingsError(f"device=cuda: {ranks_here} needed on this machine, {gpus} found; use device=cpu")
    accelerator = "cuda" if device == "cuda" or (device == "auto" and gpus >= ranks_here) else "cpu"
    if precision == "bfloat16" and accelerator == "cuda" and not torch.cuda.is_bf16_supported():
        raise SettingsError(f"precision=bfloat16: {torch.cuda.get_device_name()} does not have it; use float32")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return Fabric(
        accelerator=accelerator,
        devices=ranks_here,
        num_nodes=ranks // ranks_here,
        strategy="ddp" if ranks > 1 else "auto",
        precision="bf16-mixed" if precision == "bfloat16" else "32-true",
    )


def keep_freed_memory() -> None:
    """Tells glibc's malloc to keep what is freed. Otherwise the activations of each step are given back to the kernel
    and cleared by it again, which takes half the time of training a small network on a CPU."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return
    mallopt(M_MMAP_THRESHOLD, 1 << 30)
    mallopt(M_TRIM_THRESHOLD, 1 << 30)
