"""Training images per second on the stream, compared with the same loop on batches in memory; measured, never asserted.

    python benchmarks/train_classifier.py DATASET_ROOT [--runs 3] [--steps N] [key=value …]

The loop is the project's, with the default recipe (key=value as for jobs/train_classifier.py). Measurements are
interleaved, in one process, with the same initial weights, after one warm-up run; figures are
medians. A run is an epoch (or `--steps` of it) with the wait for its first batch; opening is separate. `in memory` are
the stream's own batches in a list.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import get_args

import torch

from pipelines.settings import load
from training.classifiers.run import make_training, open_splits
from training.classifiers.settings import TrainClassifier
from training.loop.ranks import Ranks, keep_freed_memory, ranks_on
from training.streams.stream import Batch, Batches, Cache

CONFIG = Path(__file__).parents[1] / "conf" / "train_classifier.yaml"
RESIDENT = "in memory"


class Resident(Batches):
    """One epoch of a stream, kept as batches."""

    def __init__(self, stream: Batches) -> None:
        super().__init__(stream.source, stream.weights, stream.seed, stream.share)
        self._batches = list(stream.epoch(0))

    def _epoch(self, epoch: int, start_step: int) -> Iterator[Batch]:
        return iter(self._batches[start_step:])


def images_per_s(settings: TrainClassifier, ranks: Ranks, batches: Batches, steps: int | None) -> float:
    training = make_training(settings, ranks, batches, batches)
    start = time.perf_counter()
    taken = sum(1 for _ in islice(training.steps(), steps))
    if ranks.device.type == "cuda":
        torch.cuda.synchronize(ranks.device)
    return taken * batches.share.global_batch_size / (time.perf_counter() - start)


def open_ways(settings: TrainClassifier, ranks: Ranks) -> dict[str, Batches]:
    ways: dict[str, Batches] = {}
    for cache in get_args(Cache):
        if cache == "device" and ranks.device.type == "cpu":
            continue
        start = time.perf_counter()
        train, _ = open_splits(settings.model_copy(update={"cache": cache}), ranks)
        print(f"{time.perf_counter() - start:8.3f} s to open the training and validation images with cache={cache}")
        ways[f"stream, cache={cache}"] = train
    return {RESIDENT: Resident(ways["stream, cache=none"]), **ways}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int)
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_intermixed_args()
    settings = load(TrainClassifier, CONFIG, [f"data.root={arguments.root}", *arguments.overrides])
    keep_freed_memory()
    with ranks_on(settings.device, settings.precision) as ranks:
        ways = open_ways(settings, ranks)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for run in range(arguments.runs + 1):
            for name, batches in ways.items():
                rate = images_per_s(settings, ranks, batches, arguments.steps)
                if run:
                    rates[name].append(rate)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    print(f"\n{settings.model.kind}, batches of {settings.batch_size}, {settings.precision}")
    print(f"{arguments.runs} runs on {ranks.device}")
    print(f"{torch.get_num_threads()} threads, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}")
    for name, median in medians.items():
        print(f"{median:10,.0f} images/s {median / medians[RESIDENT]:6.3f} × {RESIDENT}  {name}")


if __name__ == "__main__":
    main()
