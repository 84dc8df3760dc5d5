"""What one GPU does: images per second of trainings, a GAN and an attack, waits for data, and an epoch of GTSRB.

    python benchmarks/check_gpu.py [--device cuda] [--images 31380] [--steps 60] [--runs 3] [--record PAGE]

The images are random, as their contents do not change the speed, and lie in a temporary folder. Prints a table in
Markdown, with --record in place of the one between the two comments `check_gpu` of that page. Medians of the runs,
after one that warms up. `first batch` is the time from the start of an epoch to the end of its first step. Measured,
never asserted. `make check-gpu` runs the tests marked gpu first.
"""

import argparse
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from pipelines.datasets.gtsrb_card import GTSRB_CARD
from pipelines.settings import load
from pipelines.store import staging, writer
from pipelines.store.cell_rows import NoisyRows
from pipelines.store.schema import FORMAT_VERSION, Cell, Split
from pipelines.store.shown import Shown
from training.attacks import LabelledImages, SnrDb
from training.attacks.fgsm import Fgsm
from training.classifiers.run import make_training, open_splits
from training.classifiers.settings import TrainClassifier
from training.classifiers.trained import Shape
from training.gans.run import Outside, open_gan
from training.gans.settings import TrainGan
from training.gans.training import GanTraining
from training.loop.ranks import Ranks, keep_freed_memory, ranks_on
from training.loop.training import Training
from training.models import Model
from training.models.baseline_cnn import BaselineCnn
from training.models.sign_net import SignNet

CONF = Path(__file__).parents[1] / "conf"
MODELS = (
    ("baseline_cnn", "crop_or_pad", 40), ("sign_net", "roi_resize", 48), ("resnet50", "crop_or_pad", 50),
    ("inception_v3", "crop_or_pad", 75),
)  # fmt: skip
PER_ROW_GROUP = 1000
MARKS = "<!-- check_gpu -->"


class Row(NamedTuple):
    what: str
    images_per_s: float
    first_batch_s: float | None = None
    data_wait: float | None = None

    def markdown(self) -> str:
        first = "" if self.first_batch_s is None else f"{self.first_batch_s:.2f}"
        wait = "" if self.data_wait is None else f"{self.data_wait:.1%}"
        return f"| {self.what} | {self.images_per_s:,.0f} | {first} | {wait} |"


def write_random(root: Path, geometry: str, size_px: int, images: int) -> None:
    """A clean data set of random images with all classes of GTSRB, a tenth of it for validation."""
    cell = Cell(geometry, size_px, "clean")
    fingerprint = {"format_version": FORMAT_VERSION, "size_px": size_px, **Shown().facts}
    counts: dict[Split, int] = {"train": images - images // 10, "validation": images // 10}
    plan = writer.Plan(root, GTSRB_CARD, {cell: fingerprint}, counts, {}, {}, PER_ROW_GROUP, "none")
    draw = np.random.default_rng(0)

    def expand(rows: pa.Table) -> Iterator[NoisyRows]:
        pixels = draw.integers(0, 256, (len(rows), size_px**2 * 3), np.uint8)
        nothing = np.zeros(len(rows), np.uint64)
        yield NoisyRows(size_px, "clean", pixels, nothing + 1, nothing)

    def rows() -> Iterator[pa.RecordBatch]:
        for part, (split, count) in enumerate(counts.items()):
            ids = [f"{split}/{number:06d}" for number in range(count)]
            labels = np.arange(count, dtype=np.int32) % GTSRB_CARD.num_classes
            columns = {
                "image_id": ids, "label": labels, "group": ids, "split": [split] * count, "part": [part] * count,
                "part_in_split": [0] * count,
            }  # fmt: skip
            yield from pa.table(columns).to_batches()

    plan.staging.mkdir(parents=True)
    staging.publish(plan, [staging.StagingWriter(plan, lambda: expand).write(rows())])


def timed(what: str, make: Callable[[], Training], images: int, ranks: Ranks, arguments: argparse.Namespace) -> Row:
    """`make` makes a training on batches of `images`, for each run anew."""
    found: list[tuple[float, float, float]] = []
    device = ranks.device
    for run in range(arguments.runs + 1):
        own = make()
        taking = own.steps()
        start = time.perf_counter()
        next(taking)
        first_s = since(start, device)
        start = time.perf_counter()
        taken = sum(1 for _ in islice(taking, arguments.steps))
        seconds = since(start, device)
        if run:
            found.append((taken * images / seconds, first_s, own.pace.waited_s / (first_s + seconds)))
    rates, firsts, waits = zip(*found, strict=True)
    return Row(what, statistics.median(rates), statistics.median(firsts), statistics.median(waits))


def since(start: float, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def classifier_row(
    ranks: Ranks, arguments: argparse.Namespace, name: str, geometry: str, size_px: int, precision: str
) -> Row:
    cache = "device" if ranks.device.type == "cuda" else "host"
    overrides = [
        f"model={name}", f"data.root={arguments.folder}/{geometry}{size_px}", f"cache={cache}",
        f"precision={precision}", f"batch_size={arguments.batch_size}",
    ]  # fmt: skip
    settings = load(TrainClassifier, CONF / "train_classifier.yaml", overrides)
    train, _ = open_splits(settings, ranks)
    what = f"training {name}, {size_px} px, {precision}, cache={cache}"
    return timed(what, lambda: make_training(settings, ranks, train, None), settings.batch_size, ranks, arguments)


def gan_row(ranks: Ranks, arguments: argparse.Namespace) -> Row:
    overrides = ["gan=r3gan_small", f"data.root={arguments.folder}/crop_or_pad40", "data.size_px=40"]
    settings = load(TrainGan, CONF / "train_gan.yaml", overrides)
    opened = open_gan(settings, ranks, Outside())
    return timed(
        "GAN r3gan_small, 40 px, float32", lambda: GanTraining(settings, opened.shape, ranks, opened.train),
        settings.batch_size, ranks, arguments,
    )  # fmt: skip


def network_of(model: Model, size_px: int, device: torch.device) -> torch.nn.Module:
    shape = Shape(size_px, GTSRB_CARD.num_classes, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
    return shape.build(model, 0).to(device)


def fgsm_row(device: torch.device, arguments: argparse.Namespace) -> Row:
    network = network_of(BaselineCnn(), 40, device).eval()
    count = arguments.batch_size * 4
    images = torch.rand(count, 3, 40, 40, generator=torch.Generator().manual_seed(0)).to(device)
    examples = LabelledImages(images, torch.arange(count, device=device) % 43, [str(number) for number in range(count)])
    rates = []
    for run in range(arguments.runs + 1):
        start = time.perf_counter()
        Fgsm()(network, examples, [SnrDb(33.0)])
        if run:
            rates.append(count / since(start, device))
    return Row("FGSM at 33 dB, baseline_cnn, 40 px", statistics.median(rates))


def compile_rows(device: torch.device, arguments: argparse.Namespace) -> list[Row]:
    """Gradients of sign_net on tensors in memory, with and without torch.compile."""
    images = torch.rand(arguments.batch_size, 3, 48, 48, generator=torch.Generator().manual_seed(0)).to(device)
    labels = torch.arange(len(images), device=device) % 43
    rows = []
    for what in ("eager", "torch.compile"):
        network = network_of(SignNet(), 48, device)
        called = network if what == "eager" else torch.compile(network)
        rates = []
        for run in range(arguments.runs + 1):
            start = time.perf_counter()
            for _ in range(arguments.steps):
                torch.nn.functional.cross_entropy(called(images), labels).backward()
            if run:
                rates.append(arguments.steps * len(images) / since(start, device))
        rows.append(Row(f"gradients of sign_net, 48 px, float32, {what}", statistics.median(rates)))
    return rows


def measure(arguments: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    for precision in ("float32", "bfloat16"):
        with ranks_on(arguments.device, precision) as ranks:
            rows += [
                classifier_row(ranks, arguments, name, geometry, size_px, precision)
                for name, geometry, size_px in arguments.models
            ]
            if precision == "float32":
                rows += [gan_row(ranks, arguments), fgsm_row(ranks.device, arguments)]
                rows += [] if arguments.skip_compile else compile_rows(ranks.device, arguments)
    return rows


def table(rows: Sequence[Row], machine: str, images: int) -> str:
    baseline = rows[0]
    lines = ["| | images/s | first batch s | waits for data |", "|:--|--:|--:|--:|", *(row.markdown() for row in rows)]
    epoch = f"An epoch of GTSRB's {images:,} training images at 40 px: {images / baseline.images_per_s:.2f} s."
    return "\n".join([f"{machine}.", "", *lines, "", epoch])


def machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return f"{name}, PyTorch {torch.__version__}, Python {platform.python_version()}"


def record(path: Path, text: str) -> None:
    """Puts the table between the two marks. Exits if they are not there."""
    page = path.read_text()
    if page.count(MARKS) != 2:
        sys.exit(f"{path}: expected the line {MARKS} twice, around the table")
    path.write_text(re.sub(f"{MARKS}.*{MARKS}", lambda _: f"{MARKS}\n\n{text}\n\n{MARKS}", page, flags=re.DOTALL))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--images", type=int, default=31_380)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--models", default=",".join(name for name, *_ in MODELS))
    parser.add_argument("--skip-compile", action="store_true", help="without torch.compile, which takes a minute")
    parser.add_argument("--record", type=Path)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("skipped: PyTorch finds no GPU; --device cpu measures the same on the CPU")
        return
    arguments.models = [model for model in MODELS if model[0] in arguments.models.split(",")]
    keep_freed_memory()
    with tempfile.TemporaryDirectory(prefix="roadsign-gpu-") as folder:
        arguments.folder = folder
        for geometry, size_px in {("crop_or_pad", 40), *((geometry, size) for _, geometry, size in arguments.models)}:
            write_random(Path(folder) / f"{geometry}{size_px}", geometry, size_px, arguments.images)
        text = table(measure(arguments), machine(torch.device(arguments.device)), arguments.images)
    print(text)
    if arguments.record:
        record(arguments.record, text)


if __name__ == "__main__":
    main()
