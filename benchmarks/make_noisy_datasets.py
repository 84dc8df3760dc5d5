"""The cost of the main job, as tables for docs/performance.md; measured, never asserted.

    python benchmarks/make_noisy_datasets.py DATASET_ROOT [--output FOLDER] [--runs 3]

Each measurement has its own process and Spark session; figures are medians over the runs, and measurements that are
divided by one another are interleaved. The output folder needs about 20 GB and is emptied after each run.
"""

import argparse
import itertools
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from pipelines.datasets import FileReader, Location
from pipelines.datasets.listing import Listing
from pipelines.geometry import Roi
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.render.rendering import Original
from pipelines.settings import load
from pipelines.spark import session
from pipelines.spark.frames import make_renderer, read_image
from pipelines.spark.sources import parts_frame, prepare_source
from pipelines.store import writer
from pipelines.store.provenance import made_by
from pipelines.store.statistics import Tally

REPOSITORY = Path(__file__).parents[1]
Figures = dict[str, float]


def settings_for(arguments: argparse.Namespace) -> NoisyDatasets:
    overrides = [f"dataset.root={arguments.root}", f"output_root={arguments.output}", *arguments.override]
    return load(NoisyDatasets, REPOSITORY / "conf" / "make_noisy_datasets.yaml", overrides)


class PeakMemory(threading.Thread):
    """Samples the resident memory of this process, of the JVM and of each Python worker."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mib = {"driver": 0.0, "JVM": 0.0, "Python worker": 0.0}
        self.start()

    def run(self) -> None:
        while True:
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                try:
                    name = (
                        "driver"
                        if process.pid == os.getpid()
                        else "JVM"
                        if process.name() == "java"
                        else "Python worker"
                    )
                    self.peak_mib[name] = max(self.peak_mib[name], process.memory_info().rss / 2**20)
                except psutil.Error:
                    continue
            time.sleep(0.1)


def scaled(listing: Listing, scale: float) -> Listing:
    """A fair sample of the images, or all of them several times with further ids."""
    images = random.Random(0).sample(listing.images, len(listing.images))
    copies = [image._replace(image_id=f"{image.image_id}+{n}") for n in range(1, int(scale)) for image in images]
    return Listing(listing.found, listing.card, (images + copies)[: int(scale * len(images))])


def measure_job(arguments: argparse.Namespace) -> Figures:
    """One run of the steps of the job, timed separately."""
    memory = PeakMemory()
    times = [time.perf_counter()]
    settings = settings_for(arguments)
    with session.started("benchmark") as spark, writer.locked(settings.dataset_folder):
        times.append(time.perf_counter())
        source = prepare_source(spark, scaled(settings.dataset.listing(), arguments.scale), settings)
        times.append(time.perf_counter())
        fingerprints = {cell: settings.fingerprint(cell, source.digest, source.listing.card) for cell in settings.cells}
        plan = writer.Plan(
            settings.dataset_folder, source.listing.card, fingerprints, source.counts, source.summary(), made_by(),
            settings.images_per_row_group, settings.compression,
        )  # fmt: skip
        render = make_renderer(settings.rendering(source.listing.card.channels), source.readers)
        writer.write_datasets(parts_frame(spark, source, settings.partitions), render, plan)
        times.append(time.perf_counter())
    written = sum(path.stat().st_size for path in settings.dataset_folder.rglob("*.parquet"))
    seconds = [later - earlier for earlier, later in itertools.pairwise(times)]
    shutil.rmtree(str(settings.dataset_folder))
    return {
        "images": len(source.placed) * len(settings.cells),
        **dict(zip(("session_s", "index_s", "make_s"), seconds, strict=True)),
        "written_gb": written / 1e9,
        **{f"{name} MiB": mib for name, mib in memory.peak_mib.items()},
    }


def measure_kernel(arguments: argparse.Namespace) -> Figures:
    """Images made per second on one core, without Spark or Parquet: the noise and geometry kernel alone, and with the
    rest of NumPy's work (decoding before it, sums and digests after it)."""
    settings = settings_for(arguments)
    rendering = settings.rendering(channels=3)
    images = scaled(settings.dataset.listing(), 0.04).images
    with FileReader() as reader:
        start = time.perf_counter()
        pixels = [read_image(reader, Location(image.archive, image.path)) for image in images]
        decode_s = time.perf_counter() - start
    originals = [
        Original(image.image_id, array, Roi(0, 0, array.shape[1] - 1, array.shape[0] - 1))
        for image, array in zip(images, pixels, strict=True)
    ]
    ids, labels = [image.image_id for image in images], [image.label for image in images]
    kernel_s = tally_s = 0.0
    count = 0
    for repeat in range(3):
        start = time.perf_counter()
        for block in rendering.cell_rows(originals):
            kernel_s += (time.perf_counter() - start) * (repeat > 0)
            start = time.perf_counter()
            Tally(3).add("train", ids, labels, block.pixels, block.signal, block.noise, block.sums)
            tally_s += (time.perf_counter() - start) * (repeat > 0)
            count += len(block.pixels) * (repeat > 0)
            start = time.perf_counter()
    return {"kernel_per_s": count / kernel_s, "all_numpy_per_s": count / (kernel_s + tally_s + 2 * decode_s)}


MEASUREMENTS = {"job": measure_job, "kernel": measure_kernel}


def measured(arguments: argparse.Namespace, name: str, *options: str, **environment: str) -> list[Figures]:
    """The measurement in `runs` processes."""
    command = [
        sys.executable,
        __file__,
        str(arguments.root),
        "--output",
        str(arguments.output),
        "--measure",
        name,
        *options,
    ]
    found = []
    for _ in range(arguments.runs):
        done = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, check=True, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(name, *options, {key: round(value, 1) for key, value in found[-1].items()}, file=sys.stderr)
    return found


def median(figures: list[Figures], key: str) -> float:
    return statistics.median(run[key] for run in figures)


def print_tables(arguments: argparse.Namespace) -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {arguments.runs} runs\n")
    kernel = measured(arguments, "kernel")
    print("| images | written | session s | index s | make s | images/s | GB |\n|--:|:--|--:|--:|--:|--:|--:|")
    runs: dict[tuple[float, str], list[Figures]] = {}
    for scale, compression in ((0.25, "zstd"), (0.5, "zstd"), (1, "zstd"), (1, "none"), (2, "zstd")):
        options = ("--scale", str(scale), "--override", f"compression={compression}")
        found = runs[scale, compression] = measured(arguments, "job", *options)
        rate = median(found, "images") / median(found, "make_s")
        seconds = [f"{median(found, key):.1f}" for key in ("session_s", "index_s", "make_s")]
        cells = [f"{median(found, 'images'):,.0f}", compression, *seconds, f"{rate:,.0f}"]
        print(f"| {' | '.join(cells)} | {median(found, 'written_gb'):.1f} |")
    small, large = runs[0.5, "zstd"], runs[2, "zstd"]
    steady = (median(large, "images") - median(small, "images")) / (median(large, "make_s") - median(small, "make_s"))
    print(f"\nsteady state (between ½ and 2 ×): {steady:,.0f} images/s")
    for key, name in (("kernel_per_s", "kernel alone"), ("all_numpy_per_s", "all NumPy work")):
        one_core = median(kernel, key)
        print(f"{name} on one core: {one_core:,.0f} images/s; steady state / (2 × that) = {steady / 2 / one_core:.2f}")
    for executors in (1, 2):
        submit = f"--master local-cluster[{executors},1,1024] pyspark-shell"
        found = measured(arguments, "job", "--scale", "0.5", PYSPARK_SUBMIT_ARGS=submit)
        print(f"{executors} executors of one core, half the images: {median(found, 'make_s'):.1f} s")
    for name in ("driver", "JVM", "Python worker"):
        print(f"peak resident memory, {name}: {median(runs[1, 'zstd'], f'{name} MiB'):.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of the real GTSRB")
    parser.add_argument("--output", type=Path, default=Path(tempfile.gettempdir()) / "roadsign-benchmark")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--measure", choices=sorted(MEASUREMENTS), help=argparse.SUPPRESS)
    parser.add_argument("--scale", type=float, default=1.0, help=argparse.SUPPRESS)
    parser.add_argument("--override", action="append", default=["validation_fraction=0"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(MEASUREMENTS[arguments.measure](arguments)))
    else:
        print_tables(arguments)


if __name__ == "__main__":
    main()
