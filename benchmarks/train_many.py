"""Trains a list of classifiers in several processes on one device, from images in memory; measured, never asserted.

    python benchmarks/train_many.py IMAGES PLAN OUT [--processes 8] [--device cuda] [--minutes 8]

IMAGES is a folder of arrays that benchmarks/export_images.py has written. PLAN is YAML: rounds of
trainings, each with a name, seeds and settings as for jobs/train_classifier.py (benchmarks/plans/sign_net.yaml).
Model, losses, augmentation, loop and files are the project's own; there is no run in MLflow. OUT gets a line in
results.jsonl, the predictions and the model of each training as soon as it has ended; a training that has its line
there is not repeated.

A training of `chosen: true` has besides its own the settings that an earlier round has chosen on validation images,
with `longer: 2` for twice as many epochs. A round can choose several times, each time under a name and among some
trainings: `choose: {clear: {of: [a, b]}, noisy: {of: [c, d], by: noises}}`, then `chosen: noisy`. OUT/ in a setting is
that folder, for teachers from an earlier round: objective.teachers=[OUT/models/a-seed0.pt].
"""

import argparse
import json
import multiprocessing
import queue
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from train_rounds import Chosen, Job, chosen_by, ended, jobs_of

from pipelines.datasets.card import DatasetCard
from pipelines.settings import load
from training.augmentation.augmentation import Augmentation, Mirrors
from training.augmentation.low_resolution import LowResolution
from training.augmentation.shadow import Shadow
from training.classifiers.settings import TrainClassifier
from training.classifiers.trained import Shape
from training.classifiers.training import ClassifierTraining
from training.loop.ranks import Ranks, ranks_on
from training.loop.workers import end_with_parent
from training.streams.order import Share, generator
from training.streams.stream import Batch, Epochs

CONFIG = Path(__file__).parents[1] / "conf" / "train_classifier.yaml"
STRESS = Augmentation(
    rotation_deg=10, contrast=0.3, flips="none", shift_fraction=0.1, zoom_fraction=0.2, brightness=0.2, shear_deg=5,
    gamma=1.0,
)  # fmt: skip
"""Validation images are also predicted under these changes: hardly any clean one is wrong, which tells recipes apart
badly."""
STRESS_PASSES = 3
STILL = Augmentation(rotation_deg=0.0, contrast=0.0, flips="none")
STRESSES = {
    "stress": STRESS,
    "shadow": STILL.model_copy(update={"shadow": Shadow(share=1.0)}),
    "low_resolution": STILL.model_copy(update={"low_resolution": LowResolution(share=1.0)}),
}


class Images:
    """The arrays of a folder, on `device` once they are needed."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.folder = folder
        self.device = device
        self.about = json.loads((folder / "about.json").read_text())
        self.card = DatasetCard.model_validate(self.about["card"])
        self._kept: dict[str, torch.Tensor] = {}

    def pixels(self, split: str, variant: str = "clean") -> torch.Tensor:
        """(N, S, S, C) uint8."""
        name = f"{variant}-{split}"
        if name not in self._kept:
            self._kept[name] = torch.from_numpy(np.load(self.folder / f"{name}.npy")).to(self.device)
        return self._kept[name]

    def rows(self, split: str) -> tuple[list[str], torch.Tensor]:
        rows = np.load(self.folder / f"rows-{split}.npz")
        return rows["ids"].tolist(), torch.from_numpy(rows["labels"].astype(np.int64)).to(self.device)

    def variants(self, split: str) -> list[str]:
        return sorted(path.name.removesuffix(f"-{split}.npy") for path in self.folder.glob(f"*-{split}.npy"))

    def shape(self) -> Shape:
        about = self.about
        return Shape(about["size_px"], self.card.num_classes, tuple(about["mean"]), tuple(about["std"]))


class InMemory(Epochs):
    """Clean images of some splits in the order of a stream with cache=device."""

    def __init__(self, images: Images, splits: Sequence[str], seed: int, batch_size: int) -> None:
        self._pixels = torch.cat([images.pixels(split) for split in splits])
        rows = [images.rows(split) for split in splits]
        self._ids = np.array([image_id for ids, _ in rows for image_id in ids], object)
        self.labels = torch.cat([labels for _, labels in rows])
        super().__init__(len(self._ids), seed, Share(0, 1, batch_size))

    def _epoch(self, epoch: int, start_step: int) -> Iterator[Batch]:
        order = generator(self.seed, epoch).permutation(self.images)
        for step in range(start_step, len(self)):
            rows, valid = self.share.rows(step, self.images)
            chosen = torch.from_numpy(order[rows]).to(self.labels.device)
            pixels = self._pixels.index_select(0, chosen).permute(0, 3, 1, 2)
            labels = self.labels.index_select(0, chosen)
            yield Batch(self._ids[order[rows]].tolist(), pixels, labels, torch.from_numpy(valid).to(labels.device))


def trained(job: Job, images: Images, ranks: Ranks, out: Path) -> dict[str, Any]:
    """Trains, writes the model and its predictions, returns the line of results.jsonl."""
    start = time.perf_counter()
    overrides = [f"data.root={images.folder}", f"seed={job.seed}", f"data.size_px={images.about['size_px']}"]
    overrides += [f"data.geometry={images.about['geometry']}", f"train_on=[{','.join(job.train)}]"]
    own = [setting.replace("OUT/", f"{out}/") for setting in job.settings]
    settings = load(TrainClassifier, CONFIG, [*own, *overrides])
    settings = settings.model_copy(update={"augmentation": settings.augmentation.for_card(images.card)})
    ranks = Ranks(ranks.device, dtype=torch.bfloat16 if settings.precision == "bfloat16" else torch.float32)
    train = InMemory(images, job.train, job.seed, settings.batch_size)
    validation = InMemory(images, ["validation"], 0, 1000) if settings.validates else None
    counts = torch.bincount(train.labels, minlength=images.card.num_classes).tolist()
    training = ClassifierTraining(
        settings, images.shape(), ranks, train, validation, Mirrors.of(images.card), class_counts=counts
    )
    while training.epoch < settings.epochs:
        for _ in training.steps():
            pass
        training.finish_epoch()
    train_s = time.perf_counter() - start
    about = {
        "settings": settings.model_dump(mode="json"), "datasets": images.about["digests"], "splits": job.train,
        "metrics": training.metrics, "validation_accuracy": training.validation_accuracy,
        "card": images.card.model_dump(mode="json"),
    }  # fmt: skip
    classifier = training.classifier(about)
    classifier.write(out / "models" / f"{job.name}-seed{job.seed}.pt")
    network = classifier.network.to(ranks.device)
    accuracies = predict(network, job, images, out)
    accuracies |= {f"validation/{name}": stressed(network, images, changes) for name, changes in STRESSES.items()}
    accuracies = {name: value for name, value in accuracies.items() if name.split("/")[0] not in job.train}
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {
        **job._asdict(), "parameters": parameters, "epochs": settings.epochs, "train_s": round(train_s, 2),
        "all_s": round(time.perf_counter() - start, 2), "validation_loss": training.metrics.get("loss/validation"),
        "train_loss": training.metrics["loss/train"], "accuracies": accuracies, "digest": classifier.digest,
        "teachers": [teacher.digest for teacher in training.teachers],
    }  # fmt: skip


def predict(network: torch.nn.Module, job: Job, images: Images, out: Path) -> dict[str, float]:
    """The accuracies by split and variant; predictions, and log probabilities of clean images, go into a file."""
    found: dict[str, Any] = {}
    accuracies: dict[str, float] = {}
    for split in job.evaluate:
        _, labels = images.rows(split)
        for variant in images.variants(split):
            logits = logits_of(network, images.pixels(split, variant))
            found[f"{split}/{variant}"] = logits.argmax(1).byte().cpu().numpy()
            accuracies[f"{split}/{variant}"] = float((logits.argmax(1) == labels).double().mean())
            if variant == "clean":
                found[f"{split}/log_probabilities"] = logits.log_softmax(1).half().cpu().numpy()
    np.savez_compressed(out / "predictions" / f"{job.name}-seed{job.seed}.npz", **found)
    return accuracies


def stressed(network: torch.nn.Module, images: Images, changes: Augmentation) -> float:
    """The accuracy on the validation images under these changes."""
    pixels, (_, labels) = images.pixels("validation"), images.rows("validation")
    right = 0.0
    for seed in range(STRESS_PASSES):
        draws = torch.rand((changes.draws, len(labels)), generator=torch.Generator().manual_seed(seed)).to(
            labels.device
        )
        for rows in torch.arange(len(labels), device=labels.device).split(1000):
            changed, _ = changes(units(pixels[rows]), labels[rows], draws[:, rows])
            with torch.inference_mode():
                right += float((network(changed).argmax(1) == labels[rows]).sum())
    return right / STRESS_PASSES / len(labels)


def logits_of(network: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat([network(units(part)) for part in pixels.split(1000)])


def units(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255)


def work(folder: Path, out: Path, device: Any, waiting: Any, done: Any) -> None:
    """A process: one training after the other, until there is a None."""
    end_with_parent()
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    with ranks_on(device, "float32") as ranks:
        images = Images(folder, ranks.device)
        while (job := waiting.get()) is not None:
            try:
                done.put(trained(job, images, ranks, out))
            except Exception as error:  # noqa: BLE001, the other trainings go on
                done.put({**job._asdict(), "error": f"{type(error).__name__}: {error}"})


def run_plan(arguments: argparse.Namespace) -> None:
    out, started = Path(arguments.out), time.monotonic()
    for name in ("models", "predictions"):
        (out / name).mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    waiting, done = context.Queue(), context.Queue()
    given = Path(arguments.images), out, arguments.device, waiting, done
    workers = [context.Process(target=work, args=given, daemon=True) for _ in range(arguments.processes)]
    for worker in workers:
        worker.start()
    chosen: Chosen = {}
    for planned in yaml.safe_load(Path(arguments.plan).read_text()):
        jobs = jobs_of(planned, chosen)
        results = [line for line in ended(out) for job in jobs if job.is_of(line)]
        for job in [job for job in jobs if not any(job.is_of(line) for line in results)]:
            waiting.put(job)
        while len(results) < len(jobs):
            left = arguments.minutes * 60 - (time.monotonic() - started)
            try:
                results.append(done.get(timeout=max(left, 0.01)))
            except queue.Empty:
                print(f"stopped after {arguments.minutes} minutes, {len(jobs) - len(results)} trainings not finished")
                return
            line = {"round": planned["round"], "at_s": round(time.monotonic() - started, 1), **results[-1]}
            with (out / "results.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            shown = {name: round(value, 5) for name, value in line.get("accuracies", {}).items() if "-" not in name}
            print(line["at_s"], line["name"], line["seed"], line.get("train_s"), shown or line, flush=True)
        chosen = chosen_by(planned, results, chosen)
        (out / "chosen.json").write_text(json.dumps(chosen))
        print(planned["round"], "→", chosen, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("plan")
    parser.add_argument("out")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--minutes", type=float, default=600)
    run_plan(parser.parse_args())


if __name__ == "__main__":
    main()
