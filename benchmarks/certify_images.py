"""Noisy images per second: bare forward passes, drawing noise, and both with the votes as certify_classifier does it.

OMP_NUM_THREADS=1 python benchmarks/certify_images.py <model.pt> [--samples 1000] [--runs 10]
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch

from training.classifiers.trained import Classifier
from training.evaluation.certification.smoothing import CHUNK, Smoothed, noise_chunk


def fastest(run: Callable[[], object], runs: int) -> float:
    """Seconds."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    classifier = Classifier.read(given.model, torch.device("cpu"))
    network, shape = classifier.network.to(memory_format=torch.channels_last), classifier.shape
    image = torch.rand(shape.channels, shape.size_px, shape.size_px)
    batch = image.expand(CHUNK, *image.shape).contiguous(memory_format=torch.channels_last)
    smoothed = Smoothed(network, 50 / 255, shape.num_classes, 0, CHUNK)
    with torch.inference_mode():
        for name, run, images in (
            ("forward pass", lambda: network(batch), CHUNK),
            ("drawing", lambda: noise_chunk(0, "estimate", "image", 0, image.shape), CHUNK),
            ("votes", lambda: smoothed.votes(image, "image", "estimate", given.samples), given.samples),
        ):
            rate = images / fastest(run, given.runs * given.samples // images)
            print(f"{name:>12}: {rate:8,.0f} images/s, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
