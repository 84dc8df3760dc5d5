"""Robust accuracy by this project's ensemble and by AutoAttack of an independent library, on the same images.

    python benchmarks/autoattack.py MODEL.pt … --root DATASET_ROOT [--geometry …] [--images 1000] [--eps 1 2 4 8]
        [--device cuda]

Radii are in 1/255, L∞. AutoAttack (F. Croce, M. Hein 2020, standard version: APGD on cross entropy, targeted APGD,
targeted FAB, Square) is that of torchattacks. The images are the first ones in the order of a hash of their ids, as in
jobs/run_grid.py. A line for each model and radius, as soon as it is known: accuracies, and the images that only one of
the two fools.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training.attacks import Eps, LabelledImages
from training.attacks.ensemble import Ensemble
from training.classifiers.trained import Classifier
from training.evaluation.classifiers.sampling import random_sample
from training.streams.stream import Data, open_stream, to_unit_floats

BATCH_SIZE = 250
HEADER = "| model | ε · 255 | images | clean | ensemble | AutoAttack | only ensemble | only AutoAttack | s | s |"


def read_images(data: Data, count: int, device: torch.device) -> LabelledImages:
    found = {}
    for batch in open_stream(data, "test", seed=0, batch_size=512).epoch(0):
        images = to_unit_floats(batch.images, torch.device("cpu"))
        for row in batch.valid.nonzero().flatten().tolist():
            found[batch.image_ids[row]] = images[row], batch.labels[row]
    ids = random_sample(np.array(list(found)), count).tolist()
    return LabelledImages(
        torch.stack([found[name][0] for name in ids]).to(device),
        torch.stack([found[name][1] for name in ids]).to(device),
        ids,
    )


def right(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([network(some).argmax(1) for some in images.split(BATCH_SIZE)]) == labels


def by_ensemble(network: nn.Module, examples: LabelledImages, eps: float) -> torch.Tensor:
    rows = torch.arange(len(examples), device=examples.labels.device).split(BATCH_SIZE)
    attacked = [Ensemble()(network, examples.at(some), [Eps(eps)])[0].images for some in rows]
    return right(network, torch.cat(attacked), examples.labels)


def by_autoattack(network: nn.Module, examples: LabelledImages, eps: float, classes: int) -> torch.Tensor:
    """Only the images that are right are attacked, which AutoAttack does as well."""
    with warnings.catch_warnings(action="ignore"):
        import torchattacks

        attack = torchattacks.AutoAttack(network, norm="Linf", eps=eps, n_classes=classes, seed=0)
    held = right(network, examples.images, examples.labels)
    for rows in held.nonzero().flatten().split(BATCH_SIZE):
        attacked = attack(examples.images[rows], examples.labels[rows])
        assert (attacked - examples.images[rows]).abs().max() <= eps + 1e-6
        held[rows] = right(network, attacked, examples.labels[rows])
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--root", required=True)
    parser.add_argument("--geometry", default="crop_or_pad")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--eps", type=float, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    print(HEADER, "|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|", sep="\n", flush=True)
    for path in arguments.models:
        classifier = Classifier.read(path, device)
        network = classifier.network.eval().requires_grad_(False)
        data = Data(root=arguments.root, geometry=arguments.geometry, size_px=classifier.shape.size_px)
        examples = read_images(data, arguments.images, device)
        clean = right(network, examples.images, examples.labels).float().mean()
        for grey in arguments.eps:
            start = time.perf_counter()
            ours = by_ensemble(network, examples, grey / 255)
            between = time.perf_counter()
            theirs = by_autoattack(network, examples, grey / 255, classifier.shape.num_classes)
            end = time.perf_counter()
            cells = (
                path.parent.name, f"{grey:g}", len(examples), f"{clean:.2%}", f"{ours.float().mean():.2%}",
                f"{theirs.float().mean():.2%}", int((theirs & ~ours).sum()), int((ours & ~theirs).sum()),
                f"{between - start:.0f}", f"{end - between:.0f}",
            )  # fmt: skip
            print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
