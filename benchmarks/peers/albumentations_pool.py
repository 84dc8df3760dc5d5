"""The race with albumentations: its transforms composed once for each task of a pool, Parquet files by PyArrow.

It has no periodic noise, and its SaltAndPepper rounds the number of pixels down, which leaves small images as they are
(at 0.1 % a quarter of the hits is missing on GTSRB). Both are the NumPy functions of the other peers as transforms."""

import multiprocessing
from collections.abc import Iterator
from functools import partial
from typing import Any

import albumentations
import cv2
import pyarrow as pa
from recipe import SIZE_PX, VARIANTS, WORKERS, Noise, Pixels, called, rows_of, write_part

STDS_GREY = {"gaussian-min": 5, "gaussian-avg": 25, "gaussian-max": 50}


class Numpy(albumentations.ImageOnlyTransform):
    """A NumPy noise that draws from albumentations' generator."""

    def __init__(self, noise: Noise) -> None:
        super().__init__(p=1)
        self.noise = noise

    def apply(self, img: Pixels, **params: Any) -> Pixels:
        return self.noise(img, self.random_generator)


def transforms() -> dict[str, albumentations.Compose]:
    noises = {name: Numpy(noise) for name, noise in VARIANTS.items()}
    for name, std_grey in STDS_GREY.items():
        noises[name] = albumentations.GaussNoise(std_range=(std_grey / 255, std_grey / 255), p=1)
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
    call = called()
    write = partial(write_part, folder=call.folder, make=make_rows)
    with multiprocessing.Pool(WORKERS, use_one_thread) as pool:
        for _ in pool.imap_unordered(write, enumerate(call.tasks)):
            pass
