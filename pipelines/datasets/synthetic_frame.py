"""Simulates photographs of a sign: one random scene per physical sign, and its frames as a car approaches."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from pipelines.datasets.synthetic_drawing import COLOURS, Template

__all__ = ["Photograph", "Scene", "draw_scene", "photograph"]

BACKGROUND_PX = 96
MIN_MARGIN_PX = 5


class Scene(NamedTuple):
    """The properties that stay nearly constant while a car approaches one physical sign.

    `squeeze`: width over height, below 1 for a sign seen at an angle; `keystone`: change of scale from edge to edge, to
    the right and downwards; `margins`: left, top, right and bottom border as fractions of the sign; `gain`: brightness
    per channel.
    """

    tilt_degrees: float
    squeeze: float
    keystone: tuple[float, float]
    margins: NDArray[np.float64]
    background: Image.Image
    has_pole: bool
    gain: NDArray[np.float64]
    contrast: float
    gamma: float
    defocus_px: float
    motion_fraction: float
    noise_std_grey: float


class Photograph(NamedTuple):
    """height × width × RGB, and the sign's bounding box (x1, y1, x2, y2), inclusive, in pixels."""

    image: NDArray[np.uint8]
    roi: tuple[int, int, int, int]


def draw_scene(rng: np.random.Generator) -> Scene:
    """A random background, viewing angle, illumination and camera; one in five scenes is dark, as in GTSRB."""
    brightness = rng.uniform(0.16, 0.35) if rng.random() < 0.2 else rng.uniform(0.45, 1.15)
    return Scene(
        tilt_degrees=rng.normal(0, 3.5),
        squeeze=rng.uniform(0.86, 1),
        keystone=(rng.uniform(-0.15, 0.15), rng.uniform(-0.1, 0.1)),
        margins=rng.uniform(0.08, 0.13, 4),
        background=_draw_background(rng),
        has_pole=bool(rng.random() < 0.7),
        gain=brightness * rng.uniform(0.93, 1.07, 3),
        contrast=rng.uniform(0.6, 1.05),
        gamma=rng.uniform(0.8, 1.3),
        defocus_px=rng.uniform(0.2, 0.9),
        motion_fraction=rng.uniform(0, 0.03),
        noise_std_grey=rng.uniform(1, 5),
    )


def _draw_background(rng: np.random.Generator) -> Image.Image:
    """Sky above trees and houses, BACKGROUND_PX square."""
    height = np.linspace(0, 1, BACKGROUND_PX)[:, None, None]
    sky = np.array([160, 180, 205]) + rng.normal(0, 25) + rng.normal(0, 8, 3) + 35 * height
    trees = np.array([78, 88, 60]) + rng.normal(0, 20) + rng.normal(0, 8, 3) - 25 * height
    skyline = rng.uniform(-0.2, 1.1) + 0.15 * _texture(rng, 8)[:1]
    scenery = np.where(height < skyline, sky, trees + 22 * _texture(rng, 24)) + 12 * _texture(rng, 5)
    background = Image.fromarray(np.clip(scenery, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(background)
    for left, top, width, depth in rng.integers(0, BACKGROUND_PX, (rng.integers(0, 4), 4)).tolist():
        wall = tuple(int(value) for value in rng.integers(60, 190) + rng.integers(-20, 20, 3))
        draw.rectangle((left, top, left + 4 + width // 3, top + 4 + depth // 2), wall)
    return background


def _texture(rng: np.random.Generator, cells: int) -> NDArray[np.float32]:
    coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((BACKGROUND_PX, BACKGROUND_PX), Image.Resampling.BICUBIC))[:, :, None]


def photograph(template: Template, scene: Scene, sign_px: float, rng: np.random.Generator) -> Photograph:
    """One frame of the sign in the scene; the longer side of the sign's bounding box is `sign_px`."""
    view = _view(scene, scene.tilt_degrees + rng.normal(0, 0.4))
    seen = _project(view, template.outline)
    low, high = seen.min(axis=0), seen.max(axis=0)
    scale = sign_px / (high - low).max()
    sign_width_px, sign_height_px = np.rint((high - low) * scale).astype(int).tolist()
    margins_px = np.maximum(MIN_MARGIN_PX, np.rint(scene.margins * sign_px)).astype(int) + rng.integers(0, 2, 4)
    left_px, top_px, right_px, bottom_px = margins_px.tolist()
    size_px = (left_px + sign_width_px + right_px, top_px + sign_height_px + bottom_px)
    roi = (left_px, top_px, left_px + sign_width_px - 1, top_px + sign_height_px - 1)
    to_frame = np.array([[scale, 0, left_px - low[0] * scale], [0, scale, top_px - low[1] * scale], [0, 0, 1]]) @ view
    frame = _surroundings(scene, size_px, roi, rng)
    sign = _warped(template.image, to_frame, max(1, round(scale)), size_px)
    frame.paste(sign, (0, 0), sign)
    return Photograph(_exposed(frame, scene, sign_px, rng), roi)


def _view(scene: Scene, tilt_degrees: float) -> NDArray[np.float64]:
    cosine, sine = math.cos(math.radians(tilt_degrees)), math.sin(math.radians(tilt_degrees))
    tilt = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    view: NDArray[np.float64] = tilt @ np.array([[scene.squeeze, 0, 0], [0, 1, 0], [*scene.keystone, 1]])
    return view


def _project(view: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    homogeneous = np.column_stack([places, np.ones(len(places))]) @ view.T
    projected: NDArray[np.float64] = homogeneous[:, :2] / homogeneous[:, 2:]
    return projected


def _warped(image: Image.Image, to_frame: NDArray[np.float64], side_px: int, size_px: tuple[int, int]) -> Image.Image:
    # Pillow's transform is not antialiased, so shrink first.
    shrunk = image.resize((side_px, side_px), Image.Resampling.BOX, reducing_gap=2.0)
    centred = np.array([[1 / side_px, 0, -0.5], [0, 1 / side_px, -0.5], [0, 0, 1]])
    to_template = np.linalg.inv(to_frame @ centred)
    coefficients = (to_template / to_template[2, 2]).ravel()[:8].tolist()
    return shrunk.transform(size_px, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC)


def _surroundings(
    scene: Scene, size_px: tuple[int, int], roi: tuple[int, int, int, int], rng: np.random.Generator
) -> Image.Image:
    left, top = rng.uniform(0, 4, 2).tolist()
    box = (left, top, left + BACKGROUND_PX - 4, top + BACKGROUND_PX - 4)
    frame = scene.background.resize(size_px, Image.Resampling.BILINEAR, box)
    if scene.has_pole:
        middle_px, half_px = (roi[0] + roi[2]) / 2, (roi[2] - roi[0]) * 0.035
        pole = (middle_px - half_px, roi[1] + (roi[3] - roi[1]) / 2, middle_px + half_px, size_px[1])
        ImageDraw.Draw(frame).rectangle(pole, COLOURS["grey"])
    return frame


def _exposed(frame: Image.Image, scene: Scene, sign_px: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    gain = scene.gain * (1 + rng.normal(0, 0.02))
    grey = np.clip(0.5 + scene.contrast * (np.arange(256) / 255 - 0.5), 0, 1) ** scene.gamma
    curves = np.clip(255 * gain[:, None] * grey, 0, 255).astype(int).ravel().tolist()
    blurred = frame.filter(ImageFilter.GaussianBlur(scene.defocus_px))
    blurred = blurred.filter(ImageFilter.BoxBlur((scene.motion_fraction * sign_px, 0)))
    noisy = rng.standard_normal((frame.height, frame.width, 3), dtype=np.float32) * np.float32(scene.noise_std_grey)
    noisy += np.asarray(blurred.point(curves))
    return np.clip(np.rint(noisy, out=noisy), 0, 255, out=noisy).astype(np.uint8)
