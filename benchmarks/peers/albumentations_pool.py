"""The race with albumentations: its transforms composed once in each process of a pool, Parquet files by pyarrow.

It has no periodic noise, which is therefore the NumPy function of the other peers as a transform of its own."""

import multiprocessing
from collections.abc import Iterator
from functools import partial
from typing import Any

import albumentations
import cv2
import pyarrow as pa
from recipe import SIZE_PX, VARIANTS, WORKERS, Noise, Pixels, called, rows_of, tasks_of, write_part


class Numpy(albumentations.ImageOnlyTransform):
    """A NumPy noise that draws from albumentations' generator."""

    def __init__(self, noise: Noise) -> None:
        super().__init__(p=1)
        self.noise = noise

    def apply(self, img: Pixels, **params: Any) -> Pixels:
        return self.noise(img, self.random_generator)


def transforms() -> dict[str, albumentations.Compose]:
    noises = {
        "clean": albumentations.NoOp(),
        **{name: Numpy(noise) for name, noise in VARIANTS.items() if name.startswith("periodic-")},
    }
    for level, std_grey in {"min": 5, "avg": 25, "max": 50}.items():
        noises[f"gaussian-{level}"] = albumentations.GaussNoise(std_range=(std_grey / 255, std_grey / 255), p=1)
    for level, fraction in {"min": 0.001, "avg": 0.002, "max": 0.004}.items():
        noises[f"salt_pepper-{level}"] = albumentations.SaltAndPepper(
            (fraction, fraction), salt_vs_pepper=(0.5, 0.5), p=1
        )
    square = albumentations.CenterCrop(SIZE_PX, SIZE_PX, pad_if_needed=True)
    return {name: albumentations.Compose([noise, square]) for name, noise in noises.items()}


def render(path: str, composed: dict[str, albumentations.Compose]) -> Iterator[tuple[str, Pixels]]:
    image = cv2.imread(path, cv2.IMREAD_COLOR_RGB)
    for name, transform in composed.items():
        yield name, transform(image=image)["image"]


def make_rows(images: pa.Table) -> pa.Table:
    return rows_of(images, partial(render, composed=transforms()))


def use_one_thread() -> None:
    cv2.setNumThreads(0)


if __name__ == "__main__":
    images, folder = called()
    with multiprocessing.Pool(WORKERS, use_one_thread) as pool:
        for _ in pool.imap_unordered(partial(write_part, folder=folder, make=make_rows), enumerate(tasks_of(images))):
            pass
