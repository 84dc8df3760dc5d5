"""Draws the signs of the 43 GTSRB classes from tables of shapes."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipelines.datasets.synthetic_characters import word
from pipelines.datasets.synthetic_pictograms import (
    AHEAD,
    AHEAD_OR_RIGHT,
    ATTENTION,
    BICYCLE,
    BUMPS,
    CHILDREN,
    CROSSING_AHEAD,
    CURVE,
    DEER,
    DOUBLE_CURVE,
    KEEP_RIGHT,
    LIGHTS,
    LORRY_FROM_THE_SIDE,
    NARROW_RIGHT,
    NO_ENTRY,
    PEDESTRIAN,
    RIGHT,
    ROAD_WORK,
    ROUNDABOUT,
    SLIPPERY,
    SNOWFLAKE,
    STRIPES,
    car,
    lorry,
)
from pipelines.datasets.synthetic_shapes import Area, Shapes, Stroke, at, disc, mirrored, placed

__all__ = ["COLOURS", "SIGNS", "Making", "Sign", "Template", "draw_template"]

TEMPLATE_PX = 160
SUPERSAMPLING = 2
OUTLINE_STEP_PX = 3
Colour = tuple[int, int, int]
COLOURS: Mapping[str, Colour] = {
    "white": (234, 234, 228),
    "black": (18, 18, 20),
    "red": (158, 20, 30),
    "blue": (18, 72, 164),
    "yellow": (222, 150, 24),
    "green": (10, 120, 96),
    "grey": (96, 98, 102),
}
"""Linear: the share of the light that each paint reflects, 255 for all of it."""


class Sign(NamedTuple):
    """The board of a sign, outside in, and the forms of its pictogram."""

    board: Shapes
    pictograms: tuple[Shapes, ...] = ((),)


class Making(NamedTuple):
    """How one sign was made: the form of its pictogram (counted modulo the forms there are), the `scale` and `offset`
    of the pictogram, the factor of its line widths, of its rim's width, and the colours that differ from COLOURS."""

    form: int = 0
    scale: float = 1.0
    offset: complex = 0j
    boldness: float = 1.0
    rim: float = 1.0
    colours: Mapping[str, Colour] = {}


PROHIBITION: Shapes = (disc("50,50", 96, "white"), disc("50,50", 94, "red"), disc("50,50", 72, "white"))
END: Shapes = (disc("50,50", 96, "white"), disc("50,50", 93, "black"), disc("50,50", 90, "white"))
MANDATORY: Shapes = (disc("50,50", 96, "white"), disc("50,50", 93, "blue"))
WARNING: Shapes = (
    Area(at("50,10.5 93.5,85.8 6.5,85.8"), "white", 3.7),
    Area(at("50,10.5 93.5,85.8 6.5,85.8"), "red", 2.5),
    Area(at("50,23.5 82,79.5 18,79.5"), "white", 1),
)
YIELD: Shapes = (
    Area(at("50,89.5 93.5,14.2 6.5,14.2"), "white", 3.7),
    Area(at("50,89.5 93.5,14.2 6.5,14.2"), "red", 2.5),
    Area(at("50,74.5 80.5,21.5 19.5,21.5"), "white", 1),
)
PRIORITY_ROAD: Shapes = (
    Area(at("50,5.5 94.5,50 50,94.5 5.5,50"), "white", 2.5),
    Area(at("50,21 79,50 50,79 21,50"), "black", 1.8),
    Area(at("50,21 79,50 50,79 21,50"), "yellow", 0.8),
)
STOP: Shapes = (
    Area(at("31,4 69,4 96,31 96,69 69,96 31,96 4,69 4,31"), "white"),
    Area(at("33,8 67,8 92,33 92,67 67,92 33,92 8,67 8,33"), "red"),
)


def _limit(text: str, colour: str = "black", height: float = 39) -> tuple[Shapes, ...]:
    forms: tuple[tuple[float, float, float], ...]
    if len(text) == 3:
        forms = ((16.5, 3.2, 5.5), (15, 4.2, 4.6), (17.5, 2.6, 6))
    else:
        forms = ((22.5, 4.8, 5.9), (21, 6, 5), (23.5, 4.5, 6.8))
    return tuple(word(text, height, width, gap, stroke, colour) for width, gap, stroke in forms)


def _mirror_images(pictograms: tuple[Shapes, ...]) -> tuple[Shapes, ...]:
    return tuple(mirrored(shapes) for shapes in pictograms)


SIGNS: tuple[Sign, ...] = (
    *(Sign(PROHIBITION, _limit(text)) for text in ("20", "30", "50", "60", "70", "80")),
    Sign(END, tuple(digits + STRIPES for digits in _limit("80", "grey", 43))),
    *(Sign(PROHIBITION, _limit(text)) for text in ("100", "120")),
    Sign(PROHIBITION, (car("red", 33.5) + car("black", 66.5),)),
    Sign(PROHIBITION, (lorry("red", 33) + car("black", 67, 65),)),
    Sign(WARNING, CROSSING_AHEAD),
    Sign(PRIORITY_ROAD),
    Sign(YIELD),
    Sign(STOP, (word("STOP", 34, 15.5, 4.4, 4.8, "white"), word("STOP", 33, 16.5, 3.6, 5.8, "white"))),
    Sign(PROHIBITION),
    Sign(PROHIBITION, LORRY_FROM_THE_SIDE),
    Sign((disc("50,50", 96, "white"), disc("50,50", 93, "red")), (NO_ENTRY,)),
    Sign(WARNING, ATTENTION),
    Sign(WARNING, CURVE),
    Sign(WARNING, _mirror_images(CURVE)),
    *(Sign(WARNING, forms) for forms in (DOUBLE_CURVE, BUMPS, SLIPPERY, NARROW_RIGHT, ROAD_WORK, (LIGHTS,))),
    *(Sign(WARNING, forms) for forms in (PEDESTRIAN, CHILDREN, BICYCLE, (SNOWFLAKE,), DEER)),
    Sign(END, (STRIPES,)),
    Sign(MANDATORY, RIGHT),
    Sign(MANDATORY, _mirror_images(RIGHT)),
    Sign(MANDATORY, AHEAD),
    Sign(MANDATORY, AHEAD_OR_RIGHT),
    Sign(MANDATORY, _mirror_images(AHEAD_OR_RIGHT)),
    Sign(MANDATORY, KEEP_RIGHT),
    Sign(MANDATORY, _mirror_images(KEEP_RIGHT)),
    Sign(MANDATORY, ROUNDABOUT),
    Sign(END, (car("grey", 33.5) + car("grey", 66.5) + STRIPES,)),
    Sign(END, (lorry("grey", 33) + car("grey", 67, 65) + STRIPES,)),
)
"""The sign of each class by label."""


class Template(NamedTuple):
    """One sign from the front: TEMPLATE_PX square RGBA, and its outline as (n, 2) points in [-0.5, 0.5], y
    downwards."""

    image: Image.Image
    outline: NDArray[np.float64]


AS_IN_THE_TABLE = Making()


def draw_template(class_id: int, making: Making = AS_IN_THE_TABLE) -> Template:
    """The sign of a GTSRB class 0–42, made as `making` says; deterministic."""
    side_px = TEMPLATE_PX * SUPERSAMPLING
    large = Image.new("RGBA", (side_px, side_px))
    draw = ImageDraw.Draw(large)
    sign = SIGNS[class_id]
    pictogram = placed(sign.pictograms[making.form % len(sign.pictograms)], making.scale, making.offset)
    colours = {**COLOURS, **making.colours}
    for shape in _with_rim(sign.board, making.rim):
        _paint(draw, shape, side_px / 100, 1, colours)
    for shape in pictogram:
        _paint(draw, shape, side_px / 100, making.boldness, colours)
    image = large.reduce(SUPERSAMPLING)
    rows, columns = np.nonzero(np.asarray(image)[:, :, 3] > 127)
    first = np.unique(rows, return_index=True)[1]
    last = np.append(first[1:], len(rows)) - 1
    some = np.append(np.arange(0, len(first) - 1, OUTLINE_STEP_PX), len(first) - 1)
    first, last = first[some], last[some]
    lefts = np.stack([columns[first], rows[first] + 0.5], axis=1)
    rights = np.stack([columns[last] + 1, rows[last] + 0.5], axis=1)
    return Template(image, np.concatenate([lefts, rights]) / TEMPLATE_PX - 0.5)


def _with_rim(board: Shapes, factor: float) -> Shapes:
    """The board with its innermost face made smaller or larger, so that the rim is `factor` times as wide."""
    if len(board) < 3:
        return board
    outer, inner = board[-2], board[-1]
    rim = _radius(outer) - _radius(inner)
    return (*board[:-1], *placed((inner,), 1 - (factor - 1) * rim / _radius(inner), 0j, _middle(inner)))


def _middle(shape: Stroke | Area) -> complex:
    return sum((complex(x, y) for x, y in shape.points), 0j) / len(shape.points)


def _radius(shape: Stroke | Area) -> float:
    if isinstance(shape, Stroke):
        return shape.width / 2
    return abs(complex(*shape.points[0]) - _middle(shape)) + shape.rounding


def _paint(
    draw: ImageDraw.ImageDraw, shape: Stroke | Area, scale: float, boldness: float, colours: Mapping[str, Colour]
) -> None:
    colour = colours[shape.colour]
    points = [(x * scale, y * scale) for x, y in shape.points]
    width = (shape.width * boldness if isinstance(shape, Stroke) else 2 * shape.rounding) * scale
    if isinstance(shape, Area):
        draw.polygon(points, colour)
        points.append(points[0])
    if width:
        if len(points) > 1:
            draw.line(points, colour, round(width))
        for point in points:
            draw.circle(point, width / 2, colour)
