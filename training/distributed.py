"""Where a training runs: its device, its precision, and the ranks that torchrun or TorchDistributor has started."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from pipelines.errors import SettingsError

__all__ = ["Ranks", "keep_freed_memory", "ranks_on"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
Value = TypeVar("Value")


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; alone where world_size is 1. Each has its own device."""

    device: torch.device
    rank: int = 0
    world_size: int = 1
    dtype: torch.dtype = torch.float32
    """What networks compute in; their weights, losses and gradients stay float32."""

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def parallel(self, network: nn.Module) -> nn.Module:
        """Calls `network`, and in backward averages its gradients over the ranks."""
        return network if self.world_size == 1 else nn.parallel.DistributedDataParallel(network)

    def average_gradients(self, network: nn.Module) -> None:
        """Over the ranks, of what backward has left. For networks that are called twice before one backward pass, or
        differentiated twice, which DistributedDataParallel does not follow."""
        if self.world_size == 1:
            return
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        joined = torch.cat([gradient.view(-1) for gradient in gradients])
        dist.all_reduce(joined)
        parts = torch.split(joined.div_(self.world_size), [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Over all ranks; `values` is not changed."""
        total = values.clone()
        if self.world_size > 1:
            dist.all_reduce(total)
        return total

    def from_first(self, value: Value) -> Value:
        """The first rank's value, on every rank."""
        values = [value]
        if self.world_size > 1:
            dist.broadcast_object_list(values, device=self.device)
        return values[0]


@contextmanager
def ranks_on(device: Literal["auto", "cpu", "cuda"], precision: Literal["float32", "bfloat16"]) -> Iterator[Ranks]:
    """Under torchrun (which TorchDistributor runs too) one of its ranks, otherwise the only one. Raises SettingsError
    where there is no such device."""
    rank, here = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    ranks = Ranks(
        _device(device, here, int(os.environ.get("LOCAL_RANK", "0"))),
        rank,
        int(os.environ.get("WORLD_SIZE", "1")),
        torch.bfloat16 if precision == "bfloat16" else torch.float32,
    )
    if ranks.device.type == "cuda":
        torch.cuda.set_device(ranks.device)
        if precision == "bfloat16" and not torch.cuda.is_bf16_supported():
            raise SettingsError(f"precision=bfloat16: {torch.cuda.get_device_name()} does not have it; use float32")
    if ranks.world_size == 1:
        yield ranks
        return
    dist.init_process_group("nccl" if ranks.device.type == "cuda" else "gloo")
    try:
        yield ranks
        dist.barrier()  # a rank that ends while others are at work takes the group's store with it
    finally:
        dist.destroy_process_group()


def _device(wanted: Literal["auto", "cpu", "cuda"], ranks_here: int, rank_here: int) -> torch.device:
    gpus = torch.cuda.device_count()
    if wanted == "cuda" and gpus < ranks_here:
        raise SettingsError(f"device=cuda: {ranks_here} needed on this machine, {gpus} found; use device=cpu")
    if wanted == "cpu" or gpus < ranks_here:
        return torch.device("cpu")
    return torch.device("cuda", rank_here)


def keep_freed_memory() -> None:
    """Tells glibc's malloc to keep what is freed. Otherwise the activations of each step are given back to the kernel
    and cleared by it again, which takes half the time of training a small network on a CPU."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return
    mallopt(M_MMAP_THRESHOLD, 1 << 30)
    mallopt(M_TRIM_THRESHOLD, 1 << 30)
