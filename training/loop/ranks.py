"""Where a training runs: its device, its precision, and the ranks that torchrun or TorchDistributor has started."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.rendezvous import rendezvous

from pipelines.errors import SettingsError

__all__ = ["Ranks", "keep_freed_memory", "ranks_on"]

JOIN_S = 600
"""Pods of a cluster may start minutes apart."""
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
    where there is no such device, or the ranks cannot find each other."""
    world_size = _number("WORLD_SIZE", 1, least=1)
    if world_size > 1 and "RANK" not in os.environ:
        raise SettingsError(f"WORLD_SIZE={world_size}, and RANK is not set; start the ranks by torchrun, or unset it")
    rank, here = _number("RANK", 0), _number("LOCAL_WORLD_SIZE", 1, least=1)
    if rank >= world_size:
        raise SettingsError(
            f"RANK={rank} is not below WORLD_SIZE={world_size}; start the ranks by torchrun, or unset both"
        )
    ranks = Ranks(
        _device(device, here, _number("LOCAL_RANK", 0)),
        rank,
        world_size,
        torch.bfloat16 if precision == "bfloat16" else torch.float32,
    )
    if ranks.device.type == "cuda":
        torch.cuda.set_device(ranks.device)
        if precision == "bfloat16" and not torch.cuda.is_bf16_supported():
            raise SettingsError(f"precision=bfloat16: {torch.cuda.get_device_name()} does not have it; use float32")
    if ranks.world_size == 1:
        yield ranks
        return
    _join(ranks)
    try:
        yield ranks
        dist.barrier()  # a rank that ends while others are at work takes the group's store with it
    finally:
        dist.destroy_process_group()


def _number(variable: str, default: int, least: int = 0) -> int:
    """Of torchrun's. Raises SettingsError."""
    text = os.environ.get(variable, str(default))
    if not text.isdecimal() or int(text) < least:
        raise SettingsError(f"{variable}={text}: expected a number from {least} on; torchrun sets it, or unset it")
    return int(text)


def _join(ranks: Ranks) -> None:
    """Waits for the other ranks. Raises SettingsError, where PyTorch would give one of many exceptions, after half an
    hour."""
    for variable in ("MASTER_ADDR", "MASTER_PORT"):
        if not os.environ.get(variable):
            raise SettingsError(
                f"WORLD_SIZE={ranks.world_size}, and {variable} is not set; start the ranks by torchrun"
            )
    place = f"MASTER_ADDR={os.environ['MASTER_ADDR']} MASTER_PORT={_number('MASTER_PORT', 0, least=1)}"
    backend = "nccl" if ranks.device.type == "cuda" else "gloo"
    try:
        store, *_ = next(rendezvous("env://", timeout=timedelta(seconds=JOIN_S)))
        store.set_timeout(dist.default_pg_timeout)
        dist.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.world_size)
    except (dist.DistError, RuntimeError, ValueError, OSError) as error:
        why = str(error).strip().splitlines()[0]
        if "EADDRINUSE" in str(error):
            advice = "another program has this port; choose another MASTER_PORT"
        else:
            advice = f"all {ranks.world_size} ranks must be started within {JOIN_S} s and reach that machine"
        raise SettingsError(f"{place}, rank {ranks.rank}, {backend}: {why}; {advice}") from None


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
