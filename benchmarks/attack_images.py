"""Images per second under attack: FGSM against a bare loop, Deepfool and one-pixel against another library.

    python benchmarks/attack_images.py CHECKPOINT DATASET_ROOT [--images 512] [--toolbox-images 16] [--runs 3]

The other library is adversarial-robustness-toolbox, on the same network and images; measured, never asserted. Each row
is the fastest of its runs. The toolbox, which is slower, gets fewer images; Deepfool is measured on as many, and then
on all. Only images that are predicted correctly are attacked.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from training.attacks import FixedStrength, LabelledImages, SnrDb
from training.attacks.balls import norms
from training.attacks.deepfool import Deepfool
from training.attacks.fgsm import Fgsm
from training.attacks.gan import Gan
from training.attacks.one_pixel import OnePixel
from training.classifiers.trained import Classifier
from training.executors.generators import read_generator
from training.streams.stream import Data, open_stream

SNRS_DB = (50.0, 45.0, 40.0, 33.0)
BATCH_SIZE = 128
Way = tuple[str, Callable[[LabelledImages], torch.Tensor], LabelledImages]


def read_examples(root: str, size_px: int, network: nn.Module, count: int) -> LabelledImages:
    """`count` test images that the network predicts correctly."""
    stream = open_stream(
        Data(root=root, size_px=size_px, mixture={"clean": 1.0}), "test", seed=0, batch_size=BATCH_SIZE
    )
    images, labels, image_ids = [], [], []
    for batch in stream.epoch(0):
        some = batch.images.float() / 255
        with torch.no_grad():
            right = batch.valid & (network(some).argmax(1) == batch.labels)
        images.append(some[right])
        labels.append(batch.labels[right])
        image_ids += [batch.image_ids[row] for row in right.nonzero().flatten().tolist()]
        if len(image_ids) >= count:
            break
    return LabelledImages(torch.cat(images)[:count], torch.cat(labels)[:count], image_ids[:count])


def bare_fgsm(network: nn.Module, examples: LabelledImages) -> torch.Tensor:
    """A loop without the project's code: a gradient, four steps with one eps each, no measurements."""
    adversarial = torch.empty(0)
    for start in range(0, len(examples), BATCH_SIZE):
        inputs = examples.images[start : start + BATCH_SIZE].clone().requires_grad_()
        loss = nn.functional.cross_entropy(network(inputs), examples.labels[start : start + BATCH_SIZE])
        (gradient,) = torch.autograd.grad(loss, inputs)
        for snr_db in SNRS_DB:
            adversarial = (inputs.detach() + 0.5 / 10 ** (snr_db / 20) * gradient.sign()).clamp(0, 1)
    return adversarial


def at_ratios(attack: FixedStrength, network: nn.Module, examples: LabelledImages) -> torch.Tensor:
    adversarial = torch.empty(0)
    for rows in torch.arange(len(examples)).split(BATCH_SIZE):
        adversarial = attack(network, examples.at(rows), [SnrDb(snr_db) for snr_db in SNRS_DB])[-1].images
    return adversarial


def toolbox(classifier: Classifier, pixels: int) -> dict[str, Callable[[LabelledImages], torch.Tensor]]:
    """DeepFool as provided (one image at a time) and in one batch, and its pixel attack by differential evolution."""
    with warnings.catch_warnings(action="ignore"):
        from art.attacks.evasion import DeepFool, PixelAttack
        from art.estimators.classification import PyTorchClassifier
    shape = (3, classifier.shape.size_px, classifier.shape.size_px)
    estimator = PyTorchClassifier(
        classifier.network, nn.CrossEntropyLoss(), shape, classifier.shape.num_classes, clip_values=(0, 1),
        device_type="cpu",
    )  # fmt: skip

    def run(attack: Any, examples: LabelledImages) -> torch.Tensor:
        found = attack.generate(np.ascontiguousarray(examples.images.numpy()), examples.labels.numpy())
        return torch.from_numpy(found).clamp(0, 1)

    # With fewer gradients than classes it subtracts the logit of another class than the predicted one (1.20.1) and
    # leaves most images unfooled, so it gets all of them.
    settings = {"epsilon": 0.02, "max_iter": 50, "nb_grads": classifier.shape.num_classes, "verbose": False}
    return {
        "deepfool, toolbox, batches of 1": lambda some: run(DeepFool(estimator, batch_size=1, **settings), some),
        "deepfool, toolbox, one batch": lambda some: run(DeepFool(estimator, batch_size=len(some), **settings), some),
        "one_pixel, toolbox": lambda some: run(PixelAttack(estimator, th=pixels, es=1, max_iter=100), some),
    }


def measure(
    way: Callable[[LabelledImages], torch.Tensor], examples: LabelledImages, runs: int
) -> tuple[float, torch.Tensor]:
    """(seconds of the fastest run, its images)."""
    seconds, found = [], torch.empty(0)
    for _ in range(runs):
        start = time.perf_counter()
        found = way(examples)
        seconds.append(time.perf_counter() - start)
    return min(seconds), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("root", help="the dataset's folder, e.g. $DATASETS/gtsrb")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--toolbox-images", type=int, default=16)
    parser.add_argument("--pixels", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--generator", type=Path, help="checkpoint of gan=adversarial, to be timed beside FGSM")
    arguments = parser.parse_args()
    classifier = Classifier.read(arguments.checkpoint, torch.device("cpu"))
    network, count = classifier.network, arguments.toolbox_images
    examples = read_examples(arguments.root, classifier.shape.size_px, network, arguments.images)
    few = examples.at(torch.arange(min(count, len(examples))))
    one_pixel = OnePixel(pixels=arguments.pixels)
    deepfools = {"10 classes": Deepfool(), "all classes": Deepfool(classes=classifier.shape.num_classes)}
    generators: list[Way] = []
    if arguments.generator:
        generator = read_generator(arguments.generator, torch.device("cpu"), str(arguments.generator))
        gan = Gan().opened(generator.perturbation)
        generators.append(("gan at 4 ratios, this project", lambda some: at_ratios(gan, network, some), examples))
    ways: list[Way] = [
        ("fgsm at 4 ratios, bare loop", lambda some: bare_fgsm(network, some), examples),
        ("fgsm at 4 ratios, this project", lambda some: at_ratios(Fgsm(), network, some), examples),
        *generators,
        *((name, way, few) for name, way in toolbox(classifier, arguments.pixels).items()),
        *(
            (f"deepfool, this project, {name}", lambda some, attack=attack: attack(network, some).images, some)
            for name, attack in deepfools.items()
            for some in (few, examples)
        ),
        ("one_pixel, this project", lambda some: one_pixel(network, some).images, few),
    ]
    table = Table("way", "images", "images/s", "fooled", "mean L2 norm of the fooled")
    for name, way, some in sorted(ways, key=lambda way: way[0].split(",")[0]):
        seconds, found = measure(way, some, arguments.runs)
        fooled = norm = "-"
        if len(found) == len(some):
            with torch.no_grad():
                wrong = network(found).argmax(1) != some.labels
            fooled = f"{wrong.double().mean():.3f}"
            norm = f"{norms((found - some.images)[wrong], 'l2').mean():.4f}"
        rate = len(some) / seconds
        table.add_row(name, f"{len(some)}", f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}", fooled, norm)
    Console(width=120).print(f"{classifier.shape.size_px} px, {torch.get_num_threads()} threads", table)


if __name__ == "__main__":
    main()
