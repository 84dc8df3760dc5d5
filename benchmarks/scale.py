"""What more images and more machines would meet, as tables for docs/scale.md; measured or simulated, never asserted.

    python benchmarks/scale.py [--listed 10000,100000,1000000] [--ms-per-image 1.1]

The driver's own work on a listing is measured, each count in a process of its own. A cluster is simulated: tasks of one
part each go to the first free core; their times vary, machines fail and are replaced, and an object store answers a
limited number of requests per second. Start-up and times per task are from docs/performance.md.
"""

import argparse
import hashlib
import heapq
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.datasets import Listing, SourceImage
from pipelines.datasets.gtsrb_card import GTSRB_CARD
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load
from pipelines.spark.sources import arranged

CONFIG = Path(__file__).parents[1] / "conf" / "make_noisy_datasets.yaml"
FRAMES_PER_TRACK = 30
IMAGES_PER_PART = 4000
CELLS = 40
"""Files that a task writes: four sizes of ten variants."""
S3_GETS_PER_S = 5500
"""Per prefix, as Amazon documents it; the raw images of one class folder, or all of them, may be under one prefix."""


def listed(count: int) -> Listing:
    """A listing as GTSRB's would be with that many images, 30 of each sign."""
    images = [
        SourceImage(
            f"train/{number % 43:05d}/{number // FRAMES_PER_TRACK:07d}_{number % FRAMES_PER_TRACK:05d}", number % 43,
            "train", f"{number % 43:05d}/{number // FRAMES_PER_TRACK:07d}", "",
            f"/data/raw/GTSRB/Final_Training/Images/{number % 43:05d}/{number:010d}.ppm", None, 50, 50, 5, 5, 44, 44,
        )
        for number in range(count)
    ]  # fmt: skip
    return Listing("a listing", GTSRB_CARD, images)


def measure_driver(count: int) -> dict[str, float]:
    """Seconds and MiB that the driver's Python needs to find duplicates, split, shuffle and place the images."""
    settings = load(NoisyDatasets, CONFIG, ["dataset.kind=synthetic_signs", "output_root=unused"])
    listing = listed(count)
    digests = {image.image_id: hashlib.sha256(image.image_id.encode()).digest() for image in listing.images}
    start = time.perf_counter()
    source = arranged(listing, listing.images, digests, {}, settings)
    seconds = time.perf_counter() - start
    assert len(source.placed) == count
    return {"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


class Cluster(NamedTuple):
    """`spread` is the standard deviation of the logarithm of a task's time."""

    executors: int
    cores: int = 4
    spread: float = 0.15
    failures_per_executor_hour: float = 0.05
    replacement_s: float = 60.0
    start_s: float = 10.0


class Simulated(NamedTuple):
    """`efficiency` is the share of the core seconds from start to end that made images that were kept."""

    seconds: float
    efficiency: float
    repeated_tasks: int


def simulate(images: int, cluster: Cluster, ms_per_image: float, seed: int, gets_per_image: int = 0) -> Simulated:
    """One run of the main job. With `gets_per_image`, raw images are read as single objects under one prefix."""
    random = np.random.default_rng(seed)
    task_s = IMAGES_PER_PART * ms_per_image / 1000
    if gets_per_image:
        together = cluster.executors * cluster.cores
        task_s = max(task_s, IMAGES_PER_PART * gets_per_image * together / S3_GETS_PER_S)
    times = (
        task_s * random.lognormal(-(cluster.spread**2) / 2, cluster.spread, -(-images // IMAGES_PER_PART))
    ).tolist()
    useful = sum(times)
    fails_at = random.exponential(3600 / cluster.failures_per_executor_hour, cluster.executors).tolist()
    free = [(0.0, executor) for executor in range(cluster.executors) for _ in range(cluster.cores)]
    end, repeated = 0.0, 0
    while times:
        now, executor = heapq.heappop(free)
        if now < fails_at[executor] < now + times[-1]:
            repeated += 1  # the other cores find it failed when they take their next task
            heapq.heappush(free, (fails_at[executor] + cluster.replacement_s, executor))
            continue
        if fails_at[executor] <= now:
            fails_at[executor] = now + float(random.exponential(3600 / cluster.failures_per_executor_hour))
        done = now + times.pop()
        end = max(end, done)
        heapq.heappush(free, (done, executor))
    return Simulated(cluster.start_s + end, useful / (end * cluster.executors * cluster.cores), repeated)


def print_driver(counts: list[int]) -> None:
    print("| images listed | s | peak MiB |\n|--:|--:|--:|")
    for count in counts:
        command = [sys.executable, __file__, "--measure", str(count)]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        print(f"| {count:,} | {found['seconds']:.1f} | {found['peak_mib']:,.0f} |", flush=True)


def print_clusters(ms_per_image: float) -> None:
    print("\n| source images | executors of 4 cores | raw images | hours | efficiency | tasks repeated |")
    print("|--:|--:|:--|--:|--:|--:|")
    for images in (10**6, 10**8):
        for executors in (1, 10, 100):
            for name, gets in (("in zips, or on disks", 0), ("one object each", 2)):
                runs = [simulate(images, Cluster(executors), ms_per_image, seed, gets) for seed in range(5)]
                seconds, efficiency, repeated = (float(np.median(values)) for values in zip(*runs, strict=True))
                print(
                    f"| {images:,} | {executors} | {name} | {seconds / 3600:.2f} | {efficiency:.2f} | {repeated:.0f} |"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listed", default="10000,100000,1000000")
    parser.add_argument("--ms-per-image", type=float, default=1.1, help="core milliseconds per source image")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure_driver(arguments.measure)))
        return
    print_driver([int(count) for count in arguments.listed.split(",")])
    print_clusters(arguments.ms_per_image)


if __name__ == "__main__":
    main()
