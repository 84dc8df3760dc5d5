"""Images per second into torch, compared with the fastest known reader of the same files; measured, never asserted.

    python benchmarks/stream_images.py DATASET_ROOT [--size-px 40] [--variant clean] [--runs 5] [--image-folder]
        [--peers] [--remote s3://bucket/datasets/gtsrb]

`--image-folder` also writes the images as PNGs into a temporary folder, once, and reads them in the usual way:
torchvision's ImageFolder and a DataLoader with 2 workers, shuffled, uint8. `--peers` does so too, and also reads them
with SPDL and LitData (stream_peers.py). Measurements are interleaved, in one process, after one epoch that warms the
file cache; figures are medians of whole epochs. Start-up, until the first batch, is separate. The default is also
measured as in a first epoch, the only one that compares page checksums, and
without any checks. `--remote` is the same data set in an object store, which is read beside the local one.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from PIL import Image
from stream_peers import PEERS, Epoch, missing
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from pipelines.store.schema import Cell
from training.streams.row_groups import Pool
from training.streams.stream import Batches, Cache, Data, open_stream

WAYS: tuple[tuple[Pool, int, Cache], ...] = (
    ("thread", 1, "none"),
    ("thread", 2, "none"),
    ("dummy", 1, "none"),
    ("thread", 1, "host"),
)
CEILING = "pyarrow.dataset, unshuffled"
FIRST = "stream, thread pool, workers=2, cache=none, first epoch"
UNCHECKED = "stream, thread pool, workers=2, cache=none, unchecked"
REMOTE = "object store, thread pool, workers=2, cache="
USUAL = "ImageFolder, DataLoader, 2 workers"


def read_unshuffled(folder: Path, size_px: int, _: int) -> Iterator[int]:
    """The ceiling: pyarrow's own threads, images viewed in Arrow's memory, no shuffling, no tensors."""
    dataset = ds.dataset(folder, format="parquet")
    for batch in dataset.to_batches(columns=["image_id", "label", "image"], batch_size=1000):
        column = batch.column("image")
        _, offsets, data = column.buffers()
        starts = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
        pixels = np.frombuffer(data, np.uint8)[starts[0] : starts[-1]].reshape(-1, size_px, size_px, 3)
        batch.column("label").to_numpy()
        yield len(pixels)


def read_stream(stream: Batches, epoch: int) -> Iterator[int]:
    return (int(batch.valid.sum()) for batch in stream.epoch(epoch))


def read_first(stream: Batches, epoch: int) -> Iterator[int]:
    stream.source.opener.checked.clear()
    yield from read_stream(stream, epoch)


def read_unchecked(stream: Batches, epoch: int) -> Iterator[int]:
    trusting = pq.ParquetFile

    def open_file(*arguments: Any, **others: Any) -> pq.ParquetFile:
        return trusting(*arguments, **others | {"page_checksum_verification": False})

    with patch.object(pq, "ParquetFile", open_file), patch("training.streams.row_groups.check_rows", lambda *_: None):
        yield from read_stream(stream, epoch)


def read_image_folder(loader: DataLoader[Any], _: int) -> Iterator[int]:
    return (len(labels) for _, labels in loader)


def write_pngs(stream: Batches, folder: Path) -> None:
    """One folder for each class, as ImageFolder expects."""
    for batch in stream.epoch(0):
        pixels, labels = batch.images.permute(0, 2, 3, 1).numpy(), batch.labels.tolist()
        for image_id, image, label, valid in zip(batch.image_ids, pixels, labels, batch.valid.tolist(), strict=True):
            if valid:
                path = folder / f"{label:05d}" / f"{image_id.replace('/', '_')}.png"
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(image).save(path)


def open_image_folder(folder: Path, batch_size: int) -> Epoch:
    images = datasets.ImageFolder(str(folder), transforms.PILToTensor())
    return partial(read_image_folder, DataLoader(images, batch_size, True, num_workers=2, persistent_workers=True))


def open_ways(arguments: argparse.Namespace, pngs: Path) -> dict[str, Callable[[], Epoch]]:
    """Functions that open each way of reading the same images."""
    size_px, split, batch_size = arguments.size_px, arguments.split, arguments.batch_size
    files = Cell("crop_or_pad", size_px, arguments.variant).folder(arguments.root) / f"split={split}"
    ways: dict[str, Callable[[], Epoch]] = {CEILING: lambda: partial(read_unshuffled, files, size_px)}

    def open_way(
        pool: Pool, workers: int, cache: Cache, read: Callable[[Batches, int], Iterator[int]],
        root: str = str(arguments.root),
    ) -> Epoch:  # fmt: skip
        mixture = {arguments.variant: 1.0}
        data = Data(root=root, size_px=size_px, mixture=mixture, pool=pool, workers=workers)
        return partial(read, open_stream(data, split, seed=0, batch_size=batch_size, cache=cache))

    for pool, workers, cache in WAYS:
        ways[f"stream, {pool} pool, workers={workers}, cache={cache}"] = partial(
            open_way, pool, workers, cache, read_stream
        )
    ways[FIRST] = partial(open_way, "thread", 2, "none", read_first)
    ways[UNCHECKED] = partial(open_way, "thread", 2, "none", read_unchecked)
    if arguments.remote:
        for cache in ("none", "host"):
            ways[REMOTE + cache] = partial(open_way, "thread", 2, cache, read_stream, arguments.remote)
    if arguments.image_folder or arguments.peers:
        data = Data(root=str(arguments.root), size_px=size_px, mixture={arguments.variant: 1.0})
        write_pngs(open_stream(data, split, seed=0, batch_size=1000), pngs)
        ways[USUAL] = partial(open_image_folder, pngs, batch_size)
    if arguments.peers:
        if packages := missing():
            print(
                f"not installed: {', '.join(packages)}; type: uv pip install -r benchmarks/peers/requirements.txt",
                file=sys.stderr,
            )
        ways |= {
            name: partial(open_peer, pngs, batch_size)
            for name, (package, open_peer) in PEERS.items()
            if package not in packages
        }
    return ways


def start_up(name: str, open_way: Callable[[], Epoch]) -> Epoch:
    """Opens one way, and reads an epoch to warm up."""
    start = time.perf_counter()
    epoch = open_way()
    opened = time.perf_counter()
    batches = epoch(0)
    next(batches)
    first = time.perf_counter()
    sum(batches)
    print(f"{opened - start:8.3f} s to open {first - opened:8.3f} s more to the first batch  {name}", flush=True)
    return epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--size-px", type=int, default=40)
    parser.add_argument("--variant", default="clean")
    parser.add_argument("--split", default="train")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--image-folder", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--remote")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pngs = Path(folder) / "pngs"
        pngs.mkdir()
        ways = {name: start_up(name, open_way) for name, open_way in open_ways(arguments, pngs).items()}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        images = 0
        for run in range(1, arguments.runs + 1):
            for name, epoch in ways.items():
                start = time.perf_counter()
                read = sum(epoch(run))
                seconds[name].append(time.perf_counter() - start)
                if read != (images := images or read):
                    raise SystemExit(f"{name} has read {read:,} images, the others {images:,}")
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"\n{images} images, {arguments.size_px} px, batches of {arguments.batch_size}, {arguments.runs} runs")
    for name, median in medians.items():
        usual = f" {medians[USUAL] / median:6.2f} × ImageFolder" if USUAL in medians else ""
        print(f"{images / median:10,.0f} images/s {medians[CEILING] / median:5.2f} × pyarrow.dataset{usual}  {name}")


if __name__ == "__main__":
    main()
