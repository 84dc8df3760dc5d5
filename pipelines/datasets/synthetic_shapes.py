"""Strokes and areas, of which the synthetic signs are composed."""

import cmath
import math
from collections.abc import Callable
from typing import NamedTuple

__all__ = [
    "Area",
    "Points",
    "Shapes",
    "Stroke",
    "arc",
    "arrow_head",
    "at",
    "disc",
    "lines",
    "mirrored",
    "moved",
    "placed",
    "turned",
]

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


Shapes = tuple[Stroke | Area, ...]


def at(text: str) -> Points:
    """The points of "x,y x,y …"."""
    return tuple((float(x), float(y)) for x, y in (pair.split(",") for pair in text.split()))


def disc(place: str, diameter: float, colour: str = "black") -> Stroke:
    return Stroke(at(place), diameter, colour)


def lines(width: float, *texts: str, colour: str = "black") -> Shapes:
    return tuple(Stroke(at(text), width, colour) for text in texts)


def arc(x: float, y: float, radii: tuple[float, float], start_degrees: int, end_degrees: int) -> Points:
    """Part of an ellipse, from `start_degrees` to `end_degrees`; 0 is to the right, 90 downwards."""
    step = 10 if end_degrees > start_degrees else -10
    angles = [math.radians(degrees) for degrees in range(start_degrees, end_degrees + step // 10, step)]
    return tuple((x + radii[0] * math.cos(angle), y + radii[1] * math.sin(angle)) for angle in angles)


def moved(shapes: Shapes, move: Callable[[complex], complex]) -> Shapes:
    """The shapes with each point x + iy moved."""

    def all_moved(points: Points) -> Points:
        return tuple((place.real, place.imag) for place in (move(complex(x, y)) for x, y in points))

    return tuple(shape._replace(points=all_moved(shape.points)) for shape in shapes)


def placed(shapes: Shapes, scale: float, offset: complex, centre: complex = 50 + 50j) -> Shapes:
    """The shapes and their widths scaled about `centre`, then moved by `offset`."""
    resized = moved(shapes, lambda place: centre + (place - centre) * scale + offset)
    return tuple(shape._replace(width=shape.width * scale) if isinstance(shape, Stroke) else shape for shape in resized)


def mirrored(shapes: Shapes) -> Shapes:
    return moved(shapes, lambda place: complex(100 - place.real, place.imag))


def turned(shapes: Shapes, copies: int, centre: complex) -> Shapes:
    def copy(angle: float) -> Shapes:
        return moved(shapes, lambda place: centre + (place - centre) * cmath.exp(1j * angle))

    return tuple(shape for number in range(copies) for shape in copy(2 * math.pi * number / copies))


def arrow_head(tip: tuple[float, float], direction_degrees: float, arm: float, width: float) -> Area:
    """The white head of a German arrow: two arms of length `arm` and of `width` at 45 degrees, cut along the arrow."""
    back = -cmath.exp(1j * math.radians(direction_degrees))
    cut = width * math.sqrt(2)
    upper, lower = (arm * cmath.exp(1j * math.radians(degrees)) for degrees in (45, -45))
    places = [complex(*tip) + back * point for point in (0, upper, upper + cut, cut, lower + cut, lower)]
    return Area(tuple((place.real, place.imag) for place in places), "white")
