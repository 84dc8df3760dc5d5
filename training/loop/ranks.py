"""Where a training runs: its device, its precision, and the ranks that torchrun or TorchDistributor started."""

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
from torch.nn.modules.batchnorm import _BatchNorm

from pipelines.errors import SettingsError

__all__ = ["Ranks", "keep_freed_memory", "ranks_on"]

JOIN_S = 600
"""Seconds to wait for the other ranks. Pods of a cluster may start minutes apart."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
Value = TypeVar("Value")


@dataclass(frozen=True)
class Ranks:
    """This process among the ranks of a training; the only one if world_size is 1. Each rank has its own device."""

    device: torch.device
    rank: int = 0
    world_size: int = 1
    dtype: torch.dtype = torch.float32
    """The precision of the networks' computations; weights, losses and gradients remain float32."""

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def parallel(self, network: nn.Module) -> nn.Module:
        """Wraps `network` so that backward averages its gradients over the ranks. Its buffers are left alone: see
        average_statistics."""
        if self.world_size == 1:
            return network
        return nn.parallel.DistributedDataParallel(network, broadcast_buffers=False)

    def average_gradients(self, network: nn.Module) -> None:
        """Averages the gradients that backward has left over the ranks. For networks that are called twice before one
        backward pass, or differentiated twice, which DistributedDataParallel does not support."""
        if self.world_size == 1:
            return
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        joined = torch.cat([gradient.reshape(-1) for gradient in gradients])  # channels_last has no flat view
        dist.all_reduce(joined)
        parts = torch.split(joined.div_(self.world_size), [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def average_statistics(self, network: nn.Module, weight: float) -> None:
        """Makes the running statistics of batch norm the weighted mean over the ranks, so that all ranks have the same
        network; the weights sum to 1. Frozen layers are left alone. To be called after each step: in it, each rank has
        normalized by the images of its own batch."""
        if self.world_size == 1:
            return
        layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm) and layer.training]
        own = [tensor for layer in layers for tensor in (layer.running_mean, layer.running_var) if tensor is not None]
        if not own:
            return
        joined = torch.cat(own) * weight
        dist.all_reduce(joined)
        for tensor, part in zip(own, torch.split(joined, [tensor.numel() for tensor in own]), strict=True):
            tensor.copy_(part)

    def precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks; `values` is not changed."""
        total = values.clone()
        if self.world_size > 1:
            dist.all_reduce(total)
        return total

    def from_first(self, value: Value) -> Value:
        """The value of rank 0, on every rank."""
        values = [value]
        if self.world_size > 1:
            dist.broadcast_object_list(values, device=self.device)
        return values[0]


@contextmanager
def ranks_on(device: Literal["auto", "cpu", "cuda"], precision: Literal["float32", "bfloat16"]) -> Iterator[Ranks]:
    """One of the ranks of torchrun (which TorchDistributor uses too), or else the only one. Raises SettingsError if
    there is no such device, or if the ranks cannot connect."""
    world_size = _number("WORLD_SIZE", 1, least=1)
    if world_size > 1 and "RANK" not in os.environ:
        raise SettingsError(f"WORLD_SIZE={world_size}, but RANK is not set; start the ranks with torchrun, or unset it")
    rank, here = _number("RANK", 0), _number("LOCAL_WORLD_SIZE", 1, least=1)
    if rank >= world_size:
        raise SettingsError(
            f"RANK={rank} is not below WORLD_SIZE={world_size}; start the ranks with torchrun, or unset both"
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
            raise SettingsError(f"precision=bfloat16: {torch.cuda.get_device_name()} does not support it; use float32")
    if ranks.world_size == 1:
        yield ranks
        return
    _join(ranks)
    try:
        yield ranks
        dist.barrier()  # a rank that ends early takes down the group's store, which others still use
    finally:
        dist.destroy_process_group()


def _number(variable: str, default: int, least: int = 0) -> int:
    """The value of an environment variable that torchrun sets. Raises SettingsError."""
    text = os.environ.get(variable, str(default))
    if not text.isdecimal() or int(text) < least:
        raise SettingsError(
            f"{variable}={text}: expected a number of at least {least}; let torchrun set it, or unset it"
        )
    return int(text)


def _join(ranks: Ranks) -> None:
    """Waits for the other ranks. Raises SettingsError, where PyTorch would raise one of many exceptions after half an
    hour."""
    for variable in ("MASTER_ADDR", "MASTER_PORT"):
        if not os.environ.get(variable):
            raise SettingsError(
                f"WORLD_SIZE={ranks.world_size}, but {variable} is not set; start the ranks with torchrun"
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
            advice = "another program uses this port; choose another MASTER_PORT"
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
    """Makes glibc's malloc keep freed memory. Otherwise the activations of each step are returned to the kernel and
    cleared again, which takes half the time of training a small network on a CPU."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return
    mallopt(M_MMAP_THRESHOLD, 1 << 30)
    mallopt(M_TRIM_THRESHOLD, 1 << 30)
