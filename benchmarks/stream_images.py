"""Images per second into torch, against the fastest reading of the same files that we know; measured, never asserted.

    python benchmarks/stream_images.py DATASET_ROOT [--size-px 40] [--variant clean] [--runs 5]

What is compared was measured in turn, in one process, after one epoch that warms the file cache; figures are medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds

from pipelines.schema import Cell
from training.data import Batches, Cache, Data, open_stream
from training.row_groups import Pool

WAYS: tuple[tuple[Pool, int, Cache], ...] = (
    ("thread", 1, "none"),
    ("thread", 2, "none"),
    ("dummy", 1, "none"),
    ("thread", 1, "host"),
)


def read_unshuffled(folder: Path, size_px: int) -> int:
    """The ceiling: pyarrow's own threads, images viewed where Arrow has put them, nothing permuted, no tensors."""
    images = 0
    dataset = ds.dataset(folder, format="parquet")
    for batch in dataset.to_batches(columns=["image_id", "label", "image"], batch_size=1000):
        column = batch.column("image")
        _, offsets, data = column.buffers()
        starts = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
        pixels = np.frombuffer(data, np.uint8)[starts[0] : starts[-1]].reshape(-1, size_px, size_px, 3)
        batch.column("label").to_numpy()
        images += len(pixels)
    return images


def drain(stream: Batches, epoch: int) -> int:
    return sum(int(batch.valid.sum()) for batch in stream.epoch(epoch))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--size-px", type=int, default=40)
    parser.add_argument("--variant", default="clean")
    parser.add_argument("--split", default="train")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    folder = Cell("crop_or_pad", arguments.size_px, arguments.variant).folder(arguments.root)
    ways: dict[str, Callable[[int], int]] = {
        "pyarrow.dataset, unshuffled": lambda _: read_unshuffled(folder / f"split={arguments.split}", arguments.size_px)
    }
    for pool, workers, cache in WAYS:
        data = Data(
            root=str(arguments.root),
            size_px=arguments.size_px,
            mixture={arguments.variant: 1.0},
            pool=pool,
            workers=workers,
        )
        start = time.perf_counter()
        stream = open_stream(data, arguments.split, seed=0, batch_size=arguments.batch_size, cache=cache)
        name = f"stream, {pool} pool, workers={workers}, cache={cache}"
        print(f"{name}: opened in {time.perf_counter() - start:.3f} s")
        ways[name] = partial(drain, stream)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    images = 0
    for run in range(arguments.runs + 1):
        for name, read in ways.items():
            start = time.perf_counter()
            images = read(run)
            if run:
                seconds[name].append(time.perf_counter() - start)
    ceiling = statistics.median(next(iter(seconds.values())))
    print(f"\n{images} images, {arguments.size_px} px, batches of {arguments.batch_size}, {arguments.runs} runs")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"{images / median:10,.0f} images/s  {ceiling / median:5.2f} × pyarrow.dataset  {name}")


if __name__ == "__main__":
    main()
