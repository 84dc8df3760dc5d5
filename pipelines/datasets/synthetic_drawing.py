"""Draws the signs of the 43 GTSRB classes from tables of shapes."""

import cmath
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["COLOURS", "SIGNS", "Template", "draw_template"]

TEMPLATE_PX = 256
SUPERSAMPLING = 2
COLOURS = {
    "white": (238, 238, 236),
    "black": (22, 22, 24),
    "red": (196, 24, 40),
    "blue": (16, 82, 168),
    "yellow": (250, 196, 24),
    "green": (20, 160, 90),
    "grey": (136, 138, 142),
}

Points = tuple[tuple[float, float], ...]
"""(x, y) in hundredths of the template's side, y downwards."""


class Stroke(NamedTuple):
    """A line with round ends and joints; a single point is drawn as a disc of diameter `width`."""

    points: Points
    width: float
    colour: str = "black"


class Area(NamedTuple):
    """A filled polygon, enlarged by `rounding` on all sides, with round corners."""

    points: Points
    colour: str = "black"
    rounding: float = 0


class Word(NamedTuple):
    """Bold text at the centre of the sign."""

    text: str
    size: float
    colour: str = "black"


Shapes = tuple[Stroke | Area | Word, ...]


def _at(text: str) -> Points:
    return tuple((float(x), float(y)) for x, y in (pair.split(",") for pair in text.split()))


def _disc(place: str, diameter: float, colour: str = "black") -> Stroke:
    return Stroke(_at(place), diameter, colour)


def _lines(width: float, *lines: str) -> Shapes:
    return tuple(Stroke(_at(line), width) for line in lines)


def _arc(x: float, y: float, radius: float, start_degrees: int, end_degrees: int) -> Points:
    angles = [math.radians(degrees) for degrees in range(start_degrees, end_degrees + 1, 5)]
    return tuple((x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles)


def _moved(shapes: Shapes, move: Callable[[complex], complex]) -> Shapes:
    def moved(points: Points) -> Points:
        return tuple((place.real, place.imag) for place in (move(complex(x, y)) for x, y in points))

    return tuple(s if isinstance(s, Word) else s._replace(points=moved(s.points)) for s in shapes)


def _mirrored(shapes: Shapes) -> Shapes:
    return _moved(shapes, lambda place: complex(100 - place.real, place.imag))


def _turned(shapes: Shapes, copies: int, centre: complex) -> Shapes:
    def copy(angle: float) -> Shapes:
        return _moved(shapes, lambda place: centre + (place - centre) * cmath.exp(1j * angle))

    return tuple(shape for number in range(copies) for shape in copy(2 * math.pi * number / copies))


def _car(colour: str, middle: float) -> Shapes:
    """A car from behind."""
    body: Shapes = (
        Area(_at("-7,38 7,38 11,50 -11,50"), colour, 1),
        Area(_at("-5.5,40.5 5.5,40.5 8,49 -8,49"), "white"),
        Area(_at("-13,51 13,51 13,61 -13,61"), colour, 1),
        *(Area(_at(f"{x},61 {x + 6},61 {x + 6},67 {x},67"), colour) for x in (-13, 7)),
    )
    return _moved(body, lambda place: place + middle)


def _lorry(colour: str, middle: float) -> Shapes:
    """A lorry from behind."""
    wheels = [Area(_at(f"{x},60 {x + 7},60 {x + 7},68 {x},68"), colour) for x in (-12, 5)]
    return _moved((Area(_at("-12,31 12,31 12,59 -12,59"), colour, 1), *wheels), lambda place: place + middle)


PROHIBITION: Shapes = (_disc("50,50", 96, "red"), _disc("50,50", 74, "white"))
END: Shapes = (_disc("50,50", 96, "grey"), _disc("50,50", 92, "white"))
MANDATORY: Shapes = (_disc("50,50", 96, "white"), _disc("50,50", 92, "blue"))
WARNING: Shapes = (Area(_at("50,10 94,86 6,86"), "red", 4), Area(_at("50,27 79,77 21,77"), "white", 2))
STRIPES: Shapes = tuple(Stroke(((21 + d, 79 + d), (79 + d, 21 + d)), 2) for d in (-6, -2, 2, 6))
CURVE: Shapes = (Stroke(_at("58,76 58,64 47,53"), 7), Area(_at("38,44 53,46 40,59")))
DOUBLE_CURVE: Shapes = (Stroke(_at("44,76 44,71 57,61 57,57 49,49"), 6), Area(_at("41,41 54,44 44,54")))
BUMPS: Shapes = (Area(_at("26,76 29,72 35,64 39,61 43,63 48,70 50,72 52,70 57,63 61,61 65,64 71,72 74,76")),)
SLIPPERY: Shapes = (
    Area(_at("45,42 55,40 60,48 42,52"), rounding=1),
    Area(_at("40,53 61,48 63,56 42,61"), rounding=1),
    *_lines(3, "45,63 49,67 43,71 47,76", "60,59 64,64 58,69 63,76"),
)
NARROW_RIGHT: Shapes = _lines(5, "42,76 42,45", "62,76 62,68 54,57 54,45")
ROAD_WORK: Shapes = (
    _disc("45,43", 8),
    *_lines(7, "45,50 41,61"),
    *_lines(4, "41,62 43,68 38,76", "41,62 49,68 49,76", "46,50 51,57 57,56"),
    *_lines(2, "47,51 66,65"),
    Area(_at("54,77 62,67 67,65 77,77")),
)
LIGHTS: Shapes = (
    Area(_at("44,43 56,43 56,76 44,76"), rounding=1.5),
    _disc("50,47", 9, "red"),
    _disc("50,59.5", 9, "yellow"),
    _disc("50,72", 9, "green"),
)
PEDESTRIAN: Shapes = (
    _disc("51,41", 8),
    *_lines(7, "51,49 50,60"),
    *_lines(4, "50,61 43,73", "50,61 55,66 58,73"),
    *_lines(3, "51,48 42,56", "51,48 60,56"),
    *(Area(_at(f"{x},75 {x + 5},75 {x + 3},79 {x - 2},79")) for x in (27, 37, 47, 57, 67)),
)
CHILDREN: Shapes = (
    *(_disc("44,45", 8), _disc("60,53", 7)),
    *_lines(7, "44,52 43,61"),
    *_lines(6, "60,59 60,66"),
    *_lines(3.5, "43,62 38,68 33,74", "43,62 48,68 46,76", "60,67 55,76", "60,67 66,75"),
    *_lines(3, "44,52 36,58", "44,52 53,60 60,60 67,64"),
)
BICYCLE: Shapes = (
    *(Stroke(_arc(x, 68, 8, 0, 360), 2.2) for x in (37, 63)),
    *_lines(2.2, "37,68 45,57 58,57 50,68 37,68", "50,68 44,53", "63,68 57,52 62,50"),
    *_lines(2.8, "41,53 47,53"),
)
SNOWFLAKE: Shapes = _turned(_lines(2.4, "50,60 50,44", "46,46 50,50.5 54,46"), 6, 50 + 60j)
DEER: Shapes = (
    Area(
        _at("33,63 38,58 45,57 52,58 58,51 59,47 64,47 70,51 69,53 64,53.5 62,60 58,66 50,67 42,66 38,68 34,66"),
        rounding=0.5,
    ),
    *_lines(2.6, "58,63 65,64 64,69", "56,64 62,69 69,70", "38,65 35,71 29,74", "40,65 40,72 33,77"),
    *_lines(1.7, "60,47 56,43 57,38", "57,44 52,42 52,38", "56,43 53,46", "62,47 62,43 65,39", "34,63 30,59"),
)
LORRY_FROM_THE_SIDE: Shapes = (
    Area(_at("22,37 54,37 54,60 22,60")),
    Area(_at("57,44 68,44 76,53 76,60 57,60")),
    Area(_at("61,47 67,47 71,53 61,53"), "white"),
    *(shape for x in (31, 66) for shape in (_disc(f"{x},62", 13, "white"), _disc(f"{x},62", 10))),
)
RIGHT: Shapes = (Stroke(_at("36,76 36,54 43,47 60,47"), 11, "white"), Area(_at("58,28 84,47 58,66"), "white"))
AHEAD: Shapes = (Stroke(_at("50,80 50,42"), 11, "white"), Area(_at("50,14 30,42 70,42"), "white"))
AHEAD_OR_RIGHT: Shapes = (
    Stroke(_at("38,82 38,38"), 9, "white"),
    Area(_at("38,14 23,38 53,38"), "white"),
    Stroke(_at("38,68 44,60 64,60"), 9, "white"),
    Area(_at("63,45 86,60 63,75"), "white"),
)
KEEP_RIGHT: Shapes = (Stroke(_at("28,28 60,60"), 11, "white"), Area(_at("77,77 43,74 74,43"), "white"))
ROUNDABOUT: Shapes = _turned(
    (Stroke(_arc(50, 50, 26, -60, 5), 9, "white"), Area(_at("74,70 62,51 89,53"), "white")), 3, 50 + 50j
)


def _limit(number: int) -> Shapes:
    return (Word(str(number), 52 if number < 100 else 40),)


SIGNS: tuple[Shapes, ...] = (
    *(PROHIBITION + _limit(number) for number in (20, 30, 50, 60, 70, 80)),
    (*END, Word("80", 54, "grey"), *STRIPES),
    PROHIBITION + _limit(100),
    PROHIBITION + _limit(120),
    PROHIBITION + _car("red", 34) + _car("black", 66),
    PROHIBITION + _lorry("red", 35) + _car("black", 66),
    (*WARNING, Stroke(_at("50,75 50,56"), 8), Area(_at("50,37 40,56 60,56")), Stroke(_at("35,65 65,65"), 4.5)),
    (Area(_at("50,5 95,50 50,95 5,50"), "white", 3), Area(_at("50,19 81,50 50,81 19,50"), "yellow", 3)),
    (Area(_at("50,90 94,14 6,14"), "red", 4), Area(_at("50,70 77,24 23,24"), "white", 2)),
    (
        Area(_at("31,4 69,4 96,31 96,69 69,96 31,96 4,69 4,31"), "white"),
        Area(_at("32.5,7.5 67.5,7.5 92.5,32.5 92.5,67.5 67.5,92.5 32.5,92.5 7.5,67.5 7.5,32.5"), "red"),
        Word("STOP", 31, "white"),
    ),
    PROHIBITION,
    PROHIBITION + LORRY_FROM_THE_SIDE,
    (_disc("50,50", 96, "white"), _disc("50,50", 92, "red"), Area(_at("16,41 84,41 84,59 16,59"), "white")),
    (*WARNING, Area(_at("45,40 55,40 52.5,62 47.5,62"), rounding=1), _disc("50,71", 9)),
    *(WARNING + arrow for arrow in (CURVE, _mirrored(CURVE), DOUBLE_CURVE)),
    *(WARNING + road for road in (BUMPS, SLIPPERY, NARROW_RIGHT, ROAD_WORK, LIGHTS)),
    *(WARNING + beware for beware in (PEDESTRIAN, CHILDREN, BICYCLE, SNOWFLAKE, DEER)),
    END + STRIPES,
    *(MANDATORY + arrow for arrow in (RIGHT, _mirrored(RIGHT), AHEAD)),
    *(MANDATORY + arrow for arrow in (AHEAD_OR_RIGHT, _mirrored(AHEAD_OR_RIGHT))),
    *(MANDATORY + arrow for arrow in (KEEP_RIGHT, _mirrored(KEEP_RIGHT), ROUNDABOUT)),
    END + _car("grey", 33) + _car("grey", 67) + STRIPES,
    END + _lorry("grey", 33) + _car("grey", 67) + STRIPES,
)
"""The shapes of each class by label, in drawing order."""


class Template(NamedTuple):
    """One sign from the front: TEMPLATE_PX square RGBA, and its outline as (n, 2) points in [-0.5, 0.5], y
    downwards."""

    image: Image.Image
    outline: NDArray[np.float64]


def draw_template(class_id: int) -> Template:
    """The sign of a GTSRB class 0–42; deterministic."""
    side_px = TEMPLATE_PX * SUPERSAMPLING
    large = Image.new("RGBA", (side_px, side_px))
    for shape in SIGNS[class_id]:
        _paint(ImageDraw.Draw(large), shape, side_px / 100)
    image = large.reduce(SUPERSAMPLING)
    rows, columns = np.nonzero(np.asarray(image)[:, :, 3] > 127)
    first = np.unique(rows, return_index=True)[1]
    last = np.append(first[1:], len(rows)) - 1
    lefts = np.stack([columns[first], rows[first] + 0.5], axis=1)
    rights = np.stack([columns[last] + 1, rows[last] + 0.5], axis=1)
    return Template(image, np.concatenate([lefts, rights]) / TEMPLATE_PX - 0.5)


def _paint(draw: ImageDraw.ImageDraw, shape: Stroke | Area | Word, scale: float) -> None:
    colour = COLOURS[shape.colour]
    if isinstance(shape, Word):
        font, bold_px = ImageFont.load_default(shape.size * scale), shape.size * scale * 0.025
        draw.text((50 * scale, 50 * scale), shape.text, colour, font, "mm", stroke_width=bold_px, stroke_fill=colour)
        return
    points = [(x * scale, y * scale) for x, y in shape.points]
    width = shape.width * scale if isinstance(shape, Stroke) else 2 * shape.rounding * scale
    if isinstance(shape, Area):
        draw.polygon(points, colour)
        points.append(points[0])
    if width:
        draw.line(points, colour, round(width))
        for point in points:
            draw.circle(point, width / 2, colour)
