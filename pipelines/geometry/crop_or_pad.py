from typing import ClassVar

from pipelines.geometry.contract import Window, Windowing


class CropOrPad(Windowing):
    """Keeps the centre `size_px` pixels of each side, or pads it with black (paper, section 4.2).

    Odd remainders: a crop drops the extra pixel on the right and at the bottom, a pad adds it there, so that
    floor(remainder / 2) pixels go on the left and at the top; padding and then cropping back gives the image itself.
    """

    kind: ClassVar[str] = "crop_or_pad"

    def window(self, height: int, width: int, size_px: int) -> Window:
        (rows, to_rows), (columns, to_columns) = _centre(height, size_px), _centre(width, size_px)
        return Window((rows, columns), (to_rows, to_columns))


def _centre(have_px: int, want_px: int) -> tuple[slice, slice]:
    """The pixels read and the pixels written along one side."""
    if have_px > want_px:
        first = (have_px - want_px) // 2
        return slice(first, first + want_px), slice(0, want_px)
    first = (want_px - have_px) // 2
    return slice(0, have_px), slice(first, first + have_px)
