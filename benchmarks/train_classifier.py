"""Training images per second on the stream, against the same loop on batches in memory; measured, never asserted.

    python benchmarks/train_classifier.py DATASET_ROOT [--size-px 40] [--variant clean] [--device cpu] [--runs 3]

The loop is baseline_cnn in channels_last with Adam. What is compared was measured in turn, in one process, with the
same initial weights, after one run that warms everything; figures are medians. A run is an epoch (or `--steps` of it)
with the wait for its first batch; opening stands apart. `in memory` are the stream's own batches in a list: what the
loop does alone.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import get_args

import torch
from torch.nn import functional

from training.data import Batch, Cache, Data, open_stream, to_unit_floats
from training.models import MODELS

CLASSES = 43
RESIDENT = "in memory"

Epoch = Callable[[int], Iterable[Batch]]


def train(batches: Iterable[Batch], size_px: int, device: torch.device) -> tuple[int, float]:
    """Images, and seconds from asking for the first batch until the device has done the last step."""
    network = MODELS["baseline_cnn"]().build(size_px, CLASSES, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), seed=0)
    network = network.to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters())
    start = time.perf_counter()
    images = 0
    for batch in batches:
        labels, valid = batch.labels.to(device), batch.valid.to(device)
        losses = functional.cross_entropy(network(to_unit_floats(batch.images, device)), labels, reduction="none")
        optimizer.zero_grad()
        (losses * valid).sum().div(valid.sum()).backward()
        optimizer.step()
        images += len(batch.image_ids)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return images, time.perf_counter() - start


def open_ways(arguments: argparse.Namespace, device: torch.device) -> dict[str, Epoch]:
    data = Data(root=arguments.root, size_px=arguments.size_px, mixture={arguments.variant: 1.0})
    ways: dict[str, Epoch] = {}
    for cache in get_args(Cache):
        if cache == "device" and device.type == "cpu":
            continue
        start = time.perf_counter()
        stream = open_stream(data, "train", seed=0, batch_size=arguments.batch_size, cache=cache, device=device)
        print(f"{time.perf_counter() - start:8.3f} s to open the stream with cache={cache}")
        ways[f"stream, cache={cache}"] = stream.epoch
        if cache == "none":
            resident = list(stream.epoch(0))
    ways[RESIDENT] = lambda _: resident
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("--size-px", type=int, default=40)
    parser.add_argument("--variant", default="clean")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int)
    arguments = parser.parse_args()
    ways = open_ways(arguments, arguments.device)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(arguments.runs + 1):
        for name, epoch in ways.items():
            images, seconds = train(islice(epoch(run), arguments.steps), arguments.size_px, arguments.device)
            if run:
                rates[name].append(images / seconds)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    environment = {name: value for name, value in os.environ.items() if name.startswith(("MALLOC_", "OMP_"))}
    print(f"\n{images} images, batches of {arguments.batch_size}, {arguments.runs} runs on {arguments.device}")
    print(f"{torch.get_num_threads()} threads; set in the environment: {environment or 'nothing'}")
    for name, median in medians.items():
        print(f"{median:10,.0f} images/s {median / medians[RESIDENT]:6.3f} × {RESIDENT}  {name}")


if __name__ == "__main__":
    main()
