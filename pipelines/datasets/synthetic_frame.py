"""Simulates photographs of a sign: one random scene per physical sign, and its frames as a car approaches."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from pipelines.datasets.synthetic_background import BACKGROUND_PX, draw_background
from pipelines.datasets.synthetic_camera import Camera, draw_camera, exposed
from pipelines.datasets.synthetic_drawing import COLOURS, Making, draw_template
from pipelines.datasets.synthetic_wear import Wear, draw_making, draw_shade, draw_wear

__all__ = ["Photograph", "Scene", "Subject", "draw_scene", "photograph", "subject"]

MIN_MARGIN_PX = 5
MIN_SIDE_PX = 25
"""The smallest side of GTSRB's images."""
LEVELS = 4
"""How often the texture of a sign is halved."""


class Scene(NamedTuple):
    """The properties that stay nearly constant while a car approaches one physical sign.

    `squeeze`: width over height, below 1 for a sign seen at an angle; `keystone`: change of scale from edge to edge, to
    the right and downwards; `margins`: left, top, right and bottom border as fractions of the sign.
    """

    making: Making
    wear: Wear
    tilt_degrees: float
    squeeze: float
    keystone: tuple[float, float]
    shear: float
    margins: NDArray[np.float64]
    background: Image.Image
    has_pole: bool
    shade: Image.Image
    fringe: tuple[int, int]
    camera: Camera


class Subject(NamedTuple):
    """One physical sign: its texture in halved sizes, colours multiplied by opacity, and its outline as in Template;
    and the background, both in the light of the scene."""

    textures: tuple[Image.Image, ...]
    outline: NDArray[np.float64]
    background: Image.Image


class Photograph(NamedTuple):
    """height × width × RGB, the sign's bounding box (x1, y1, x2, y2), inclusive, in pixels, its tilt, and the exposure
    relative to that of the track."""

    image: NDArray[np.uint8]
    roi: tuple[int, int, int, int]
    tilt_degrees: float
    exposure: float


def draw_scene(rng: np.random.Generator) -> Scene:
    """A random sign of its class, background, viewing angle, illumination and camera."""
    return Scene(
        making=draw_making(rng),
        wear=draw_wear(rng, 80),
        tilt_degrees=rng.normal(0, 4.5),
        squeeze=float(np.clip(np.exp(rng.normal(-0.03, 0.07)), 0.8, 1.2)),
        keystone=(rng.normal(0, 0.1), rng.normal(0, 0.08)),
        shear=rng.normal(0, 0.04),
        margins=rng.uniform(0.08, 0.13, 4),
        background=draw_background(rng),
        has_pole=bool(rng.random() < 0.7),
        shade=draw_shade(rng),
        fringe=(round(rng.normal(0, 0.8)), round(rng.normal(0, 0.8))),
        camera=draw_camera(rng),
    )


def subject(class_id: int, scene: Scene) -> Subject:
    """The sign of a class as it was made and worn, in the light of the scene."""
    template = draw_template(class_id, scene.making)
    worn = template.image.convert("RGB")
    cover = scene.wear.cover.resize(worn.size)
    worn.paste(cover, (0, 0), cover)
    lit = _fringed(_dimmed(worn, scene.camera.sign_scale), scene.fringe)
    lit.putalpha(template.image.getchannel("A"))
    textures = tuple((lit.reduce(2**level) if level else lit).convert("RGBa") for level in range(LEVELS))
    return Subject(textures, template.outline, _dimmed(scene.background, scene.camera.background_scale))


def _dimmed(image: Image.Image, scale: float) -> Image.Image:
    return Image.blend(Image.new("RGB", image.size), image, scale)


def _fringed(image: Image.Image, fringe: tuple[int, int]) -> Image.Image:
    """Red moved by `fringe` pixels and blue by its opposite."""
    red, green, blue = image.split()
    right, down = fringe
    return Image.merge("RGB", (ImageChops.offset(red, right, down), green, ImageChops.offset(blue, -right, -down)))


def photograph(sign: Subject, scene: Scene, sign_px: float, rng: np.random.Generator) -> Photograph:
    """One frame of the sign in the scene; the longer side of the sign's bounding box is `sign_px`."""
    tilt_degrees = scene.tilt_degrees + rng.normal(0, 0.6)
    view = _view(scene, tilt_degrees)
    seen = _project(view, sign.outline)
    low, high = seen.min(axis=0), seen.max(axis=0)
    scale = sign_px / (high - low).max()
    sign_width_px, sign_height_px = np.rint((high - low) * scale).astype(int).tolist()
    margins_px = np.maximum(MIN_MARGIN_PX, np.rint(scene.margins * sign_px)).astype(int) + rng.integers(0, 2, 4)
    left_px, top_px, right_px, bottom_px = margins_px.tolist()
    size_px = (
        max(MIN_SIDE_PX, left_px + sign_width_px + right_px), max(MIN_SIDE_PX, top_px + sign_height_px + bottom_px)
    )  # fmt: skip
    roi = (left_px, top_px, left_px + sign_width_px - 1, top_px + sign_height_px - 1)
    to_frame = np.array([[scale, 0, left_px - low[0] * scale], [0, scale, top_px - low[1] * scale], [0, 0, 1]]) @ view
    frame = _surroundings(sign.background, scene, size_px, roi, rng)
    seen_sign = _warped(sign.textures, to_frame, scale, size_px)
    frame.paste(seen_sign, (0, 0), seen_sign)
    exposure = float(np.exp(rng.normal(0, 0.05)))
    image = exposed(frame, scene.shade, scene.camera, exposure, sign_px, rng)
    return Photograph(image, roi, tilt_degrees, exposure)


def _view(scene: Scene, tilt_degrees: float) -> NDArray[np.float64]:
    cosine, sine = math.cos(math.radians(tilt_degrees)), math.sin(math.radians(tilt_degrees))
    tilt = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    view: NDArray[np.float64] = tilt @ np.array([[scene.squeeze, scene.shear, 0], [0, 1, 0], [*scene.keystone, 1]])
    return view


def _project(view: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    homogeneous = np.column_stack([places, np.ones(len(places))]) @ view.T
    projected: NDArray[np.float64] = homogeneous[:, :2] / homogeneous[:, 2:]
    return projected


def _warped(
    textures: tuple[Image.Image, ...], to_frame: NDArray[np.float64], scale: float, size_px: tuple[int, int]
) -> Image.Image:
    # Pillow's transform is not antialiased, so take the texture that is not much larger than the sign.
    texture = min(textures, key=lambda texture: abs(math.log(texture.width / scale / 1.2)))
    side_px = texture.width
    centred = np.array([[1 / side_px, 0, -0.5], [0, 1 / side_px, -0.5], [0, 0, 1]])
    to_template = np.linalg.inv(to_frame @ centred)
    coefficients = (to_template / to_template[2, 2]).ravel()[:8].tolist()
    seen = texture.transform(size_px, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)
    return seen.convert("RGBA")


def _surroundings(
    background: Image.Image,
    scene: Scene,
    size_px: tuple[int, int],
    roi: tuple[int, int, int, int],
    rng: np.random.Generator,
) -> Image.Image:
    left, top = rng.uniform(0, 4, 2).tolist()
    box = (left, top, left + BACKGROUND_PX - 4, top + BACKGROUND_PX - 4)
    frame = background.resize(size_px, Image.Resampling.BILINEAR, box)
    if scene.has_pole:
        middle_px, half_px = (roi[0] + roi[2]) / 2, (roi[2] - roi[0]) * 0.035
        pole = (middle_px - half_px, roi[1] + (roi[3] - roi[1]) / 2, middle_px + half_px, size_px[1])
        ImageDraw.Draw(frame).rectangle(pole, COLOURS["grey"])
    return frame
