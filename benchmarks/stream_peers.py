"""Two more ways of reading the same PNGs in shuffled batches, for stream_images.py: SPDL and LitData, with 2 workers.

SPDL decodes whole batches in two threads, with torchvision's decoder: its own needs FFmpeg's libraries on the machine.
LitData reads chunks of raw pixels into which its `optimize` has turned the PNGs before."""

import importlib.util
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torchvision import datasets, io

__all__ = ["PEERS", "Epoch", "missing", "open_litdata", "open_spdl"]

Epoch = Callable[[int], Iterator[int]]
"""The sizes of the batches of an epoch, as they come."""
WORKERS = 2
Sample = tuple[str, int]
"""The path of an image and its label."""


def open_spdl(pngs: Path, batch_size: int) -> Epoch:
    return partial(read_spdl, datasets.ImageFolder(str(pngs)).samples, batch_size)


def read_spdl(samples: list[Sample], batch_size: int, epoch: int) -> Iterator[int]:
    """The pipeline is built anew for each epoch, as it ends with its source."""
    from spdl.pipeline import PipelineBuilder

    builder: PipelineBuilder[list[Sample], tuple[torch.Tensor, torch.Tensor]] = PipelineBuilder()
    builder.add_source(shuffled(samples, batch_size, epoch)).pipe(decode_batch, concurrency=WORKERS)
    pipeline = builder.add_sink(2 * WORKERS).build(num_threads=WORKERS)
    with pipeline.auto_stop():
        for _, labels in pipeline:
            yield len(labels)


def shuffled(samples: list[Sample], batch_size: int, epoch: int) -> list[list[Sample]]:
    order = random.Random(epoch).sample(samples, len(samples))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def decode_batch(samples: list[Sample]) -> tuple[torch.Tensor, torch.Tensor]:
    images = [io.decode_image(io.read_file(path)) for path, _ in samples]
    return torch.stack(images), torch.tensor([label for _, label in samples])


def open_litdata(pngs: Path, batch_size: int) -> Epoch:
    import litdata

    chunks = pngs.with_name(f"{pngs.name}-litdata")
    if not (chunks / "index.json").exists():
        samples = datasets.ImageFolder(str(pngs)).samples
        litdata.optimize(raw_pixels, samples, str(chunks), chunk_bytes="64MB", num_workers=WORKERS, verbose=False)
    images = litdata.StreamingDataset(str(chunks), shuffle=True, seed=0)
    loader = litdata.StreamingDataLoader(images, batch_size=batch_size, num_workers=WORKERS, persistent_workers=True)
    return partial(read_litdata, loader)


def raw_pixels(sample: Sample) -> dict[str, Any]:
    path, label = sample
    return {"image": io.decode_image(io.read_file(path)).numpy(), "label": label}


def read_litdata(loader: Any, _: int) -> Iterator[int]:
    return (len(batch["label"]) for batch in loader)


PEERS: dict[str, tuple[str, Callable[[Path, int], Epoch]]] = {
    "SPDL, 2 threads": ("spdl", open_spdl),
    "LitData, StreamingDataLoader, 2 workers": ("litdata", open_litdata),
}
"""Each way's package and opener."""


def missing() -> list[str]:
    return [package for package, _ in PEERS.values() if importlib.util.find_spec(package) is None]
