"""FGSM at four ratios through the Spark job against a bare PyTorch loop with as many threads; measured, never asserted.

    python benchmarks/attack_datasets.py CHECKPOINT DATASET_ROOT [--slots 2] [--split test] [--runs 3]

The bare loop reads the images, attacks them at all ratios after one backward pass, and predicts before and after, as
the job does; it measures no ratio, and writes nothing unless it says so. Each row is the fastest of its runs; the
job's first run, which starts workers and reads the model, is a row of its own.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pyspark.sql import SparkSession
from rich.console import Console
from rich.table import Table

from pipelines.places import read_place
from pipelines.settings import describe
from pipelines.spark import session
from pipelines.spark.frames import make_attacker, row_groups_frame
from pipelines.store import writer
from training.classifiers.trained import Classifier
from training.executors.adversarial_datasets import AdversarialDatasets, AttackedData, AttackPlan, prepare
from training.executors.shipped import ShippedAttack
from training.tracking import FoundModel

SNRS_DB = (50.0, 45.0, 40.0, 33.0)
BATCH_SIZE = 128


def bare_loop(plan: AttackPlan, folder: Path | None) -> None:
    """If `folder` is given, the adversarial images and predictions are written there, uncompressed."""
    network = plan.classifier.network.requires_grad_(False)
    size_px = plan.classifier.shape.size_px
    for number, (_, path, row_group, _) in enumerate(plan.row_groups):
        table = pq.ParquetFile(path).read_row_group(row_group, columns=["image", "label"])
        pixels = np.frombuffer(bytearray().join(table["image"].to_pylist()), np.uint8)
        images = torch.from_numpy(pixels.reshape(-1, size_px, size_px, 3)).permute(0, 3, 1, 2)
        labels = torch.from_numpy(table["label"].to_numpy().astype(np.int64))
        made: list[list[torch.Tensor]] = [[] for _ in SNRS_DB]
        for some, those in zip(images.split(BATCH_SIZE), labels.split(BATCH_SIZE), strict=True):
            inputs = (some.float() / 255).requires_grad_()
            logits = network(inputs)
            loss = torch.nn.functional.cross_entropy(logits, those, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, inputs)
            inputs, direction = inputs.detach(), gradient.sign()
            logits.argmax(1)
            norm = inputs.flatten(1).norm(dim=1) / direction.flatten(1).norm(dim=1)
            with torch.inference_mode():
                for snr_db, into in zip(SNRS_DB, made, strict=True):
                    eps = (norm / 10 ** (snr_db / 20))[:, None, None, None]
                    into.append((inputs + eps * direction).clamp(0, 1))
                    network(into[-1]).argmax(1)
        if folder is not None:
            for snr_db, batches in zip(SNRS_DB, made, strict=True):
                rows = torch.cat(batches).permute(0, 2, 3, 1).contiguous().numpy()
                written = pa.table({"image": [row.tobytes() for row in rows], "label": table["label"]})
                pq.write_table(written, folder / f"{snr_db}-{number}.parquet", compression="none", use_dictionary=False)


def job(
    spark: SparkSession,
    settings: AdversarialDatasets,
    plan: AttackPlan,
    file: str,
    compression: Literal["none", "zstd"],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        attack = ShippedAttack(file, describe(settings.attack), settings.strengths, 0, settings.batch_size)
        output = writer.Plan(
            Path(folder) / "signs", plan.manifest.card, plan.fingerprints, plan.counts, plan.about(), {}, 1, compression
        )
        frame = row_groups_frame(spark, read_place(settings.data.root), plan.row_groups, None)
        writer.write_datasets(frame, make_attacker(attack), output)


def seconds(way: Callable[[], None]) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--split", default="test")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    data = AttackedData(root=arguments.root)
    given = {"model": "", "attack": "fgsm", "snr_db": SNRS_DB, "data": data, "splits": (arguments.split,)}
    settings = AdversarialDatasets.model_validate({**given, "batch_size": BATCH_SIZE})
    classifier = Classifier.read(arguments.checkpoint, torch.device("cpu"))
    plan = prepare(settings, FoundModel("", "", None, arguments.checkpoint), classifier)
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local[{arguments.slots}] pyspark-shell"
    torch.set_num_threads(arguments.slots)
    with session.started("attack_datasets") as spark, tempfile.TemporaryDirectory() as folder:
        spark.sparkContext.addFile(str(arguments.checkpoint))
        name = arguments.checkpoint.name
        ways: dict[str, Callable[[], None]] = {
            "bare loop": lambda: bare_loop(plan, None),
            "bare loop, written": lambda: bare_loop(plan, Path(folder)),
            "job, uncompressed": lambda: job(spark, settings, plan, name, "none"),
            "job, zstd": lambda: job(spark, settings, plan, name, "zstd"),
        }
        first = seconds(ways["job, zstd"])
        taken = {way: min(seconds(run) for _ in range(arguments.runs)) for way, run in ways.items()}
    images = sum(plan.counts.values())
    table = Table("way", "seconds", "images/s", "of bare loop")
    for way, took in {"job, first run": first, **taken}.items():
        table.add_row(way, f"{took:.1f}", f"{images / took:,.0f}", f"{taken['bare loop'] / took:.2f}")
    what = f"{images:,} images of {classifier.shape.size_px} px, {len(SNRS_DB)} ratios, {arguments.slots} slots"
    Console(width=120).print(what, table)


if __name__ == "__main__":
    main()
