"""Draws the image files of synthetic signs, tracks for train and single images for test, and their parameters."""

import csv
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ImageStat

from pipelines.datasets.synthetic_frame import Photograph, Scene, draw_scene, photograph, subject
from pipelines.errors import SourceError

__all__ = ["FRAMES_PER_TRACK", "Drawn", "SignToDraw", "draw_all", "write_annotations", "write_parameters"]

FRAMES_PER_TRACK = 30
IMAGES_PER_PROCESS = 5000
"""Another process is worth its start for so many images."""
ANNOTATED = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
TRACKS, TEST_IMAGES = range(2)
"""The kinds of random generators."""


class SignToDraw(NamedTuple):
    """A physical sign, whose images go to `folder`: the track `number` of its class, or the test image `number`."""

    folder: Path
    class_id: int
    number: int
    is_track: bool
    drawing_seed: int


class Drawn(NamedTuple):
    """One image file as it was drawn: its line in the annotations, and its parameters by name."""

    path: Path
    annotation: tuple[str | int, ...]
    parameters: dict[str, float]


def draw_all(signs: Sequence[SignToDraw]) -> list[Drawn]:
    """Draws the images of `signs`, in their order, and writes them; in several processes if there are many.

    Raises SourceError if a process was killed, and OSError if a file cannot be written."""
    images = sum(FRAMES_PER_TRACK if sign.is_track else 1 for sign in signs)
    processes = min(os.cpu_count() or 1, images // IMAGES_PER_PROCESS)
    if processes < 2:
        return [image for sign in signs for image in _draw(sign)]
    try:
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            return [image for images in pool.map(_draw, signs, chunksize=8) for image in images]
    except BrokenProcessPool as error:
        raise SourceError(
            f"{signs[0].folder}: one of the {processes} processes that draw the signs was ended from outside, perhaps "
            'for want of memory; repeat the command. (A script of your own needs `if __name__ == "__main__":`.)'
        ) from error


def _draw(sign: SignToDraw) -> list[Drawn]:
    # A generator for each sign, so that it does not depend on what was drawn before.
    kind, first = (TRACKS, sign.class_id) if sign.is_track else (TEST_IMAGES, sign.number)
    rng = np.random.default_rng([kind, first, sign.number if sign.is_track else 0, sign.drawing_seed])
    scene = draw_scene(rng)
    drawn = subject(sign.class_id, scene)
    sizes_px = _approach(rng) if sign.is_track else [float(rng.choice(_approach(rng)))]
    written = []
    for frame, sign_px in enumerate(sizes_px):
        name = f"{sign.number:05d}_{frame:05d}.ppm" if sign.is_track else f"{sign.number:05d}.ppm"
        seen = photograph(drawn, scene, sign_px, rng)
        height, width = seen.image.shape[:2]
        (sign.folder / name).write_bytes(f"P6\n{width} {height}\n255\n".encode() + seen.image.tobytes())
        annotation = (name, width, height, *seen.roi, sign.class_id)
        written.append(Drawn(sign.folder / name, annotation, _parameters(scene, seen, sign_px)))
    return written


def _approach(rng: np.random.Generator) -> list[float]:
    """The sign's longer side in each frame, in pixels, as a car approaches at constant speed."""
    first_px = 17 + rng.gamma(2, 2)
    last_px = float(np.clip(76 * np.exp(rng.normal(0, 0.4)), 1.9 * first_px, 190))
    distances = np.linspace(1 / first_px, 1 / last_px, FRAMES_PER_TRACK)
    return list((1 / distances).tolist())


def _parameters(scene: Scene, seen: Photograph, sign_px: float) -> dict[str, float]:
    camera = scene.camera
    return {
        "sign_px": sign_px,
        "tilt_degrees": seen.tilt_degrees,
        "squeeze": scene.squeeze,
        "keystone_right": scene.keystone[0],
        "keystone_down": scene.keystone[1],
        "shear": scene.shear,
        "pictogram_scale": scene.making.scale,
        "boldness": scene.making.boldness,
        "rim": scene.making.rim,
        "gain": float(camera.gain.mean()),
        "exposure": seen.exposure,
        "flare_grey": float(camera.flare_grey.mean()),
        "backlight": camera.backlight,
        "lit_share": ImageStat.Stat(scene.shade).mean[0] / 255,
        "occluded_share": scene.wear.occluded_share,
        "dirt_share": scene.wear.dirt_share,
        "defocus_px": camera.defocus_px,
        "motion_right_px": camera.motion_fraction[0] * sign_px,
        "motion_down_px": camera.motion_fraction[1] * sign_px,
        "halo": camera.halo,
        "noise_std_grey": camera.noise_std_grey,
        "coarse_noise_std_grey": camera.coarse_noise_std_grey,
    }


def write_annotations(path: Path, images: Sequence[Drawn]) -> None:
    """A file of annotations as GTSRB has them."""
    lines = [ANNOTATED, *(";".join(str(value) for value in image.annotation) for image in images)]
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode())


def write_parameters(path: Path, images: Sequence[Drawn]) -> None:
    """A CSV table with the file, relative to the folder of `path`, the class and the parameters of each image."""

    def rows() -> Iterator[list[str | int]]:
        yield ["file", "class_id", *images[0].parameters]
        for image in images:
            file = image.path.relative_to(path.parent).as_posix()
            yield [file, image.annotation[-1], *(f"{value:.4g}" for value in image.parameters.values())]

    with path.open("w", encoding="utf-8", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows(rows())
