"""The shape of the input that a file declares."""

from collections.abc import Sequence

from training.classifiers.foreign.contract import Declared, ForeignError

__all__ = ["declared_by"]


def declared_by(reference: str, dtype: str, expected: str, sides: Sequence[int | None]) -> Declared:
    """`sides` are N, channels, height and width, None where any is possible. Raises ForeignError if they are not those
    of a batch of square images of one or three channels."""
    shown = f"{dtype} ({', '.join('any' if side is None else str(side) for side in sides)})"
    if dtype != expected:
        raise ForeignError(f"{reference}: takes {shown}, expected float32; export it with inputs of float32")
    if len(sides) != 4 or sides[1] not in (None, 1, 3):
        raise ForeignError(f"{reference}: takes {shown}, expected (N, channels, height, width) with 1 or 3 channels")
    images, channels, height, width = sides
    if None not in (height, width) and height != width:
        raise ForeignError(f"{reference}: takes {shown}, expected square images")
    return Declared(channels, height or width, images or 1, images)
