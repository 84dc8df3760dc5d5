"""This project's main job against other tools: the same images at 40 px, clean and with nine noises, as Parquet files;
measured, never asserted.

    python benchmarks/peers.py DATASET_ROOT [--images 4000] [--runs 3] [--only TOOL …] [--output FOLDER]

The images are spread evenly over the listing of the data set, which must consist of files. Each tool has two workers
and a process of its own, in turn with the others; its script is in benchmarks/peers/. Times are medians, of a quarter
of the images and of all: the difference gives the steady state, the rest is start-up, with all imports. What a tool
has written is compared with this project's own functions (equal_outputs.py), and no figure is printed for one that
wrote something else.
"""

import argparse
import importlib.util
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from equal_outputs import Expected, expect, faults_of

from pipelines.datasets import SourceImage
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.settings import load

REPOSITORY = Path(__file__).parents[1]
CONFIG = REPOSITORY / "conf" / "make_noisy_datasets.yaml"
SCRIPTS = Path(__file__).with_suffix("")
WORKERS = 2
TASKS, LARGEST_TASK = 8, 1000
SETTINGS = ("sizes_px=[40]", "validation_fraction=0", "dataset.kind=image_folder", "dataset.name=signs")
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1", "HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0",
    "PYSPARK_SUBMIT_ARGS": f"--master local[{WORKERS}] pyspark-shell",
}  # fmt: skip
"""Two processes of one thread each; and no tool asks its publisher for news."""


COLUMNS = pa.schema([("image_id", pa.string()), ("label", pa.int32()), ("path", pa.string())])


class Tool(NamedTuple):
    """A contestant: what it is called, and the package that it needs and whose version is shown."""

    title: str
    package: str

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None


OURS = "make_noisy_datasets"
TOOLS = {
    OURS: Tool("**this project's job on Spark, `local[2]`**", "pyspark"),
    "ray_data": Tool("Ray Data, `map_batches`", "ray"),
    "hugging_face": Tool("Hugging Face datasets, `map`", "datasets"),
    "plain_script": Tool("plain script, pool and PyArrow", "pyarrow"),
    "albumentations_pool": Tool("albumentations, pool and PyArrow", "albumentations"),
}


class Sample(NamedTuple):
    """The images that one run makes: a folder with a folder for each class, their table, and what must come out."""

    folder: Path
    table: Path
    expected: Expected

    @property
    def written(self) -> int:
        """The number of images that come out."""
        return len(self.expected.labels) * len(self.expected.changes)

    @property
    def images_per_task(self) -> int:
        """As many tasks for each worker, whether there are more images or fewer."""
        return min(LARGEST_TASK, math.ceil(len(self.expected.labels) / TASKS))


class RefusedError(Exception):
    """A tool has failed, or has written something else."""


def spread(images: Sequence[SourceImage], count: int) -> list[SourceImage]:
    """So many images from everywhere in the listing, so that fewer are like more of them."""
    if not 0 < count <= len(images):
        raise SystemExit(f"--images {count}: there are {len(images):,}")
    if any(image.archive or image.index is not None for image in images):
        raise SystemExit("the images are in archives, which the other tools do not read; unpack them")
    return [images[place * len(images) // count] for place in range(count)]


def make_sample(images: Sequence[SourceImage], folder: Path) -> Sample:
    """Links to the images in the layout of an image folder, from which every tool reads them; every fourth image of a
    class is in the folder test, since an image folder needs one."""
    before = Counter[int]()
    for image in images:
        before[image.label] += 1
        split = "train" if before[image.label] % 4 else "test"
        link = folder / split / f"{image.label:05d}" / f"{image.image_id.replace('/', '-')}{Path(image.path).suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(image.path).absolute())
    settings = load(NoisyDatasets, CONFIG, [f"dataset.root={folder}", *SETTINGS])
    listed = settings.dataset.listing().images
    table = folder.with_suffix(".parquet")
    pq.write_table(
        pa.table([[getattr(image, name) for image in listed] for name in COLUMNS.names], schema=COLUMNS), table
    )
    return Sample(folder, table, expect(listed, settings.rendering(channels=3)))


def command_of(name: str, sample: Sample, output: Path) -> list[str]:
    if name != OURS:
        script = str(SCRIPTS / f"{name}.py")
        return [sys.executable, script, str(sample.table), str(output), str(sample.images_per_task)]
    job = [sys.executable, str(REPOSITORY / "jobs" / f"{OURS}.py")]
    rows = f"images_per_row_group={sample.images_per_task}", f"images_per_part={sample.images_per_task}"
    return [*job, f"dataset.root={sample.folder}", f"output_root={output}", *SETTINGS, *rows]


def seconds_of(name: str, sample: Sample, work: Path) -> float:
    """Of one process of the tool. Raises RefusedError."""
    output = work / name
    output.mkdir()
    environment = os.environ | ENVIRONMENT | {"HF_HOME": str(work / "hugging_face_cache")}
    start = time.perf_counter()
    done = subprocess.run(
        command_of(name, sample, output), env=environment, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RefusedError(f"ended with {done.returncode}:\n" + "\n".join(done.stdout.splitlines()[-15:]))
    written = output / "signs" / "geometry=crop_or_pad" if name == OURS else output
    if faults := faults_of(written, sample.expected):
        raise RefusedError("wrote something else: " + "; ".join(faults))
    shutil.rmtree(output)
    shutil.rmtree(work / "hugging_face_cache", ignore_errors=True)
    return seconds


Times = dict[int, list[float]]
"""Seconds of runs by the number of images that they wrote."""


class Pace(NamedTuple):
    """The line through the median times of a small and a large sample."""

    start_up_s: float
    images_per_s: float
    whole_s: float

    @classmethod
    def through(cls, times: Times) -> "Pace | None":
        """None if more images took no more time, so that there is no such line."""
        (small, small_s), (large, large_s) = sorted((count, statistics.median(runs)) for count, runs in times.items())
        if large_s <= small_s:
            return None
        rate = (large - small) / (large_s - small_s)
        return cls(large_s - large / rate, rate, large_s)


def race(names: Sequence[str], samples: Sequence[Sample], runs: int, work: Path) -> dict[str, Times]:
    """The tools in turn; one that is refused is told of, and runs no more."""
    times = {name: {sample.written: list[float]() for sample in samples} for name in names}
    for _, sample in product(range(runs), samples):
        for name in list(times):
            try:
                seconds = seconds_of(name, sample, work)
            except RefusedError as error:
                del times[name]
                tell(f"{name}, {sample.written:,} images: {error}")
            else:
                times[name][sample.written].append(seconds)
                tell(f"{name}, {sample.written:,} images: {seconds:.1f} s")
    return times


def paces_of(times: Mapping[str, Times]) -> dict[str, Pace]:
    paces = {name: Pace.through(runs) for name, runs in times.items()}
    if unknown := [name for name, pace in paces.items() if pace is None]:
        tell(f"{', '.join(unknown)}: all images took no longer than a quarter of them; take more --images or --runs")
    return {name: pace for name, pace in paces.items() if pace is not None}


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def table_of(paces: Mapping[str, Pace], written: int) -> str:
    lines = [
        f"| {written:,} images at 40 px | version | start-up s | images/s | of this project | in all s |",
        "|:--|:--|--:|--:|--:|--:|",
    ]
    for name, pace in sorted(paces.items(), key=lambda item: -item[1].images_per_s):
        tool = TOOLS[name]
        share = f"{pace.images_per_s / paces[OURS].images_per_s:.2f}" if OURS in paces else ""
        cells = [tool.title, f"{tool.package} {version(tool.package)}", f"{pace.start_up_s:.1f}"]
        lines.append(f"| {' | '.join([*cells, f'{pace.images_per_s:,.0f}', share, f'{pace.whole_s:.1f}'])} |")
    return "\n".join(lines)


def contestants(only: Sequence[str] | None) -> list[str]:
    """Those that are installed; of the others one line says how to install them."""
    names = [name for name in TOOLS if not only or name in only]
    if missing := [TOOLS[name].package for name in names if not TOOLS[name].installed]:
        tell(f"not installed: {', '.join(missing)}; type: uv pip install -r benchmarks/peers/requirements.txt")
    return [name for name in names if TOOLS[name].installed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of the real GTSRB, unpacked")
    parser.add_argument("--images", type=int, default=4000, help="how many are read; ten times as many are written")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", action="append", choices=list(TOOLS), help="may be given more than once")
    parser.add_argument("--output", type=Path, help="where to write; by default the system's temporary folder")
    arguments = parser.parse_args()
    names = contestants(arguments.only)
    images = load(NoisyDatasets, CONFIG, [f"dataset.root={arguments.root}"]).dataset.listing().images
    chosen = [spread(images, count) for count in (arguments.images // 4, arguments.images)]
    with tempfile.TemporaryDirectory(dir=arguments.output) as folder:
        work = Path(folder).resolve()
        samples = [make_sample(some, work / f"images-{len(some)}") for some in chosen]
        times = race(names, samples, arguments.runs, work)
    cores = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}"
    print(f"{cores}, Python {platform.python_version()}, {WORKERS} workers, medians of {arguments.runs} runs\n")
    print(table_of(paces_of(times), samples[-1].written))


if __name__ == "__main__":
    main()
