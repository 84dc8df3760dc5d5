"""The digits and letters of German signs, after DIN 1451: narrow, round, of strokes of equal width."""

from pipelines.datasets.synthetic_shapes import Points, Shapes, Stroke, arc

__all__ = ["word"]

ROUND = (0.5, 0.3)
BOWL = (0.5, 0.27)

CHARACTERS: dict[str, tuple[Points, ...]] = {
    "0": ((*arc(0.5, 0.3, ROUND, 180, 360), *arc(0.5, 0.7, ROUND, 0, 180), (0, 0.3)),),
    "1": (((0.05, 0.26), (0.6, 0), (0.6, 1)),),
    "2": ((*arc(0.5, 0.3, ROUND, 190, 360), (0.97, 0.42), (0.85, 0.55), (0, 1), (1, 1)),),
    "3": (
        (*arc(0.47, 0.25, (0.45, 0.25), 195, 360), *arc(0.47, 0.25, (0.45, 0.23), 10, 80), (0.35, 0.47)),
        ((0.35, 0.47), *arc(0.5, 0.735, (0.5, 0.265), -70, 170)),
    ),
    "5": (((0.93, 0), (0.12, 0), (0.06, 0.48), *arc(0.5, 0.69, (0.5, 0.31), -140, 160)),),
    "6": (((0.72, 0), (0.12, 0.5)), (*arc(0.5, 0.69, (0.5, 0.31), 0, 360),), ((0.12, 0.5), (0, 0.69))),
    "7": (((0, 0), (1, 0), (0.36, 1)),),
    "8": (arc(0.5, 0.24, (0.43, 0.24), 0, 360), arc(0.5, 0.74, (0.5, 0.26), 0, 360)),
    "S": ((*arc(0.5, 0.25, (0.48, 0.25), 340, 90), *arc(0.5, 0.74, (0.5, 0.26), -60, 160)),),
    "T": (((0, 0), (1, 0)), ((0.5, 0), (0.5, 1))),
    "O": ((*arc(0.5, 0.3, ROUND, 180, 360), *arc(0.5, 0.7, ROUND, 0, 180), (0, 0.3)),),
    "P": (((0, 1), (0, 0), (0.5, 0), *arc(0.5, 0.28, (0.5, 0.28), -90, 90), (0, 0.56)),),
}
"""The middle lines of each character in a box of width and height 1, y downwards."""
NARROW = {"1": 0.62, "T": 0.95}


def word(text: str, height: float, width: float, gap: float, stroke: float, colour: str = "black") -> Shapes:
    """A text about the middle of the sign: outer `height` of the characters, outer `width` of each and the `gap`
    between them."""
    widths = [width * NARROW.get(character, 1) for character in text]
    left = 50 - (sum(widths) + gap * (len(text) - 1)) / 2
    shapes: list[Stroke] = []
    for character, outer in zip(text, widths, strict=True):
        for points in CHARACTERS[character]:
            line = tuple(
                (left + stroke / 2 + x * (outer - stroke), 50 + (y - 0.5) * (height - stroke)) for x, y in points
            )
            shapes.append(Stroke(line, stroke, colour))
        left += outer + gap
    return tuple(shapes)
