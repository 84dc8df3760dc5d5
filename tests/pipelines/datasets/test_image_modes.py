"""Every mode and depth that the four formats have, by the specifications: the exact pixels, or a reason."""

import io
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pipelines.datasets.decoding import UnreadableImageError, decode

RNG = np.random.default_rng(5)
RGB = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]
BITS = (GREY > 127).astype(np.uint8) * 255
DEEP = RNG.integers(0, 65536, (6, 5, 4)).astype(np.uint16)
DEEP[0, :, :] = [[0] * 4, [255] * 4, [128] * 4, [129] * 4, [65535] * 4]
OPAQUE = np.dstack([RGB, np.full_like(GREY, 255)])


def rounded(samples: NDArray[np.generic], largest: int) -> NDArray[np.uint8]:
    """round(v · 255 / largest) in exact fractions, with grey in three channels."""
    values = [int(Fraction(int(v) * 255, largest) + Fraction(1, 2)) for v in samples.ravel().tolist()]
    scaled = np.array(values, np.uint8).reshape(samples.shape)
    return scaled if scaled.ndim == 3 else np.dstack([scaled] * 3)


def png(pixels: NDArray[np.generic], colour_type: int, bits: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG by the specification: rows with filter 0, `bits` per sample, most significant byte first."""
    height, width = pixels.shape[:2]
    if bits < 8:
        shifts = np.unpackbits(pixels.astype(np.uint8)[:, :, None], axis=2)[:, :, 8 - bits :]
        rows = [np.packbits(row.ravel()).tobytes() for row in shifts]
    else:
        rows = [row.astype(">u2" if bits == 16 else "u1").tobytes() for row in pixels]
    every = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)), *chunks,
        (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b""),
    ]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in every
    )


def bmp(rows: list[bytes], bits: int, colours: bytes = b"", compression: int = 0, used: int = 0) -> bytes:
    """A BMP of 5 × 6 pixels: the last row first, each padded to 4 bytes."""
    pixels = rows[0] if compression in (1, 2) else b"".join(row + bytes(-len(row) % 4) for row in rows[::-1])
    start = 14 + 40 + len(colours)
    header = struct.pack("<IiiHHIIiiII", 40, 5, 6, 1, bits, compression, len(pixels), 0, 0, used, 0)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + colours + pixels


def pnm(magic: str, samples: NDArray[np.generic], largest: int | None = None) -> bytes:
    height, width = samples.shape[:2]
    header = f"{magic}\n# a comment\n{width} {height}\n{'' if largest is None else f'{largest}'}\n".replace(
        "\n\n", "\n"
    )
    if magic in ("P1", "P2", "P3"):
        return (header + " ".join(map(str, samples.ravel().tolist())) + "\n").encode()
    return header.encode() + samples.astype(">u2" if (largest or 0) > 255 else "u1").tobytes()


def below(largest: int, channels: int = 3) -> NDArray[np.uint16]:
    return (DEEP[:, :, :channels].astype(int) % (largest + 1)).astype(np.uint16).squeeze()


def palette(entries: int = 256) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (entries, 3), dtype=np.uint8)


def plte(entries: int) -> tuple[bytes, bytes]:
    return b"PLTE", palette(entries).tobytes()


def bgrx(entries: int) -> bytes:
    return b"".join(bytes([*colour[::-1], 0]) for colour in palette(entries).tolist())


def grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack([pixels] * 3)


def packed(pixels: NDArray[np.uint8], bits: int) -> list[bytes]:
    planes = np.unpackbits(pixels[:, :, None], axis=2)[:, :, 8 - bits :]
    return [np.packbits(row.ravel()).tobytes() for row in planes]


EXACT: dict[str, tuple[bytes, NDArray[np.uint8]]] = {
    **{f"PNG grey of {bits} bits": (png(GREY >> (8 - bits), 0, bits), rounded(GREY >> (8 - bits), 2**bits - 1))
       for bits in (1, 2, 4, 8)},
    "PNG grey of 16 bits": (png(DEEP[:, :, 0], 0, 16), rounded(DEEP[:, :, 0], 65535)),
    "PNG RGB of 8 bits": (png(RGB, 2, 8), RGB),
    "PNG RGB of 16 bits": (png(DEEP[:, :, :3], 2, 16), rounded(DEEP[:, :, :3], 65535)),
    **{f"PNG palette of {bits} bits": (png(GREY >> (8 - bits), 3, bits, plte(2**bits)),
                                       palette(2**bits)[GREY >> (8 - bits)]) for bits in (1, 2, 4, 8)},
    "PNG palette whose transparent colour is not used": (
        png(GREY % 9, 3, 8, plte(10), (b"tRNS", b"\xff" * 9 + b"\0")), palette(10)[GREY % 9]),
    "PNG grey, opaque": (png(np.dstack([GREY, OPAQUE[:, :, 3]]), 4, 8), grey(GREY)),
    "PNG RGB, opaque": (png(OPAQUE, 6, 8), RGB),
    "PNG RGB of 16 bits, opaque": (
        png(np.dstack([DEEP[:, :, :3], np.full((6, 5), 65535)]), 6, 16), rounded(DEEP[:, :, :3], 65535)),
    "PNG RGB with a colour profile and a gamma": (
        png(RGB, 2, 8, (b"gAMA", struct.pack(">I", 100000)), (b"iCCP", b"x\0\0" + zlib.compress(b"profile"))), RGB),
    **{f"PGM of {largest}": (pnm("P5", below(largest, 1), largest), rounded(below(largest, 1), largest))
       for largest in (1, 15, 100, 255, 256, 1000, 4095, 65535)},
    **{f"PPM of {largest}": (pnm("P6", below(largest), largest), rounded(below(largest), largest))
       for largest in (1, 15, 100, 255, 256, 1000, 4095, 65535)},
    "PBM": (b"P4\n5 6\n" + b"".join(packed((BITS == 0).astype(np.uint8), 1)), grey(BITS)),
    "PBM as text": (pnm("P1", (BITS == 0).astype(np.uint8)), grey(BITS)),
    "PGM as text": (pnm("P2", below(255, 1), 255), rounded(below(255, 1), 255)),
    "PPM as text": (pnm("P3", below(255), 255), rounded(below(255), 255)),
    "PPM as text of 1000": (pnm("P3", below(1000), 1000), rounded(below(1000), 1000)),
    "BMP of 24 bits": (bmp([row[:, ::-1].tobytes() for row in RGB], 24), RGB),
    "BMP of 32 bits": (bmp([np.dstack([RGB[:, :, ::-1], GREY])[y].tobytes() for y in range(6)], 32), RGB),
    **{f"BMP palette of {bits} bits": (bmp(packed(GREY >> (8 - bits), bits), bits, bgrx(2**bits)),
                                       palette(2**bits)[GREY >> (8 - bits)]) for bits in (1, 4, 8)},
    "BMP grey of 8 bits": (
        bmp([row.tobytes() for row in GREY], 8, b"".join(bytes([v, v, v, 0]) for v in range(256))), grey(GREY)),
    "BMP black and white": (bmp(packed(BITS >> 7, 1), 1, b"\0\0\0\0\xff\xff\xff\0"), grey(BITS)),
}  # fmt: skip

REFUSED: dict[str, tuple[bytes, str]] = {
    "PNG grey, half transparent": (png(np.dstack([GREY, GREY]), 4, 8), "transparent pixels"),
    "PNG RGB, half transparent": (png(np.dstack([RGB, GREY]), 6, 8), "transparent pixels"),
    "PNG RGB of 16 bits, hardly transparent": (
        png(np.dstack([DEEP[:, :, :3], np.full((6, 5), 65534)]), 6, 16), "transparent pixels"),
    "PNG grey of 16 bits with transparency": (png(DEEP[:, :, :2], 4, 16), "16 bits per sample and transparency"),
    "PNG grey of 16 bits with a transparent colour": (
        png(DEEP[:, :, 0], 0, 16, (b"tRNS", b"\0\0")), "16 bits per sample and transparency"),
    "PNG RGB of 16 bits with a transparent colour": (
        png(DEEP[:, :, :3], 2, 16, (b"tRNS", bytes(6))), "16 bits per sample and transparency"),
    "PNG RGB with a transparent colour": (
        png(RGB, 2, 8, (b"tRNS", struct.pack(">HHH", *RGB[0, 0].tolist()))), "transparent pixels"),
    "PNG palette with a transparent colour": (
        png(GREY % 9, 3, 8, plte(9), (b"tRNS", b"\xff" * 4 + b"\0")), "transparent pixels"),
    "PNG palette that is too short": (png(GREY, 3, 8, plte(9)), "palette"),
    "PGM as text of 1000": (pnm("P2", below(1000, 1), 1000), "save it as binary PGM"),
    "PPM with samples over its largest": (pnm("P6", below(255), 100), "but the header says at most 100"),
    "PFM": (b"Pf\n5 6\n-1.0\n" + bytes(4 * 30), "not a PPM"),
    "Pillow's CMYK PPM": (b"P0CMYK\n5 6\n255\n" + bytes(4 * 30), "not a PPM"),
    "BMP of 16 bits": (bmp([bytes(10)] * 6, 16), "16 bits per pixel"),
    "BMP of 8 bits, black and white": (
        bmp([bytes(5)] * 6, 8, b"\0\0\0\0\xff\xff\xff\0", used=2), "8 bits per pixel"),
    "BMP of 4 bits, its own numbers": (
        bmp([bytes(3)] * 6, 4, b"".join(bytes([v, v, v, 0]) for v in range(16))), "4 bits per pixel"),
    "BMP of 0 pixels": (bmp([b""] * 6, 24).replace(struct.pack("<ii", 5, 6), struct.pack("<ii", 0, 6)), ""),
}  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), EXACT.values(), ids=list(EXACT))
def test_modes_are_read_exactly(data: bytes, expected: NDArray[np.uint8]) -> None:
    """A sample v of a depth with largest value m becomes round(v · 255 / m), in every format and mode."""
    decoded = decode(data)
    assert (decoded.dtype, decoded.shape) == (np.uint8, (6, 5, 3))
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_modes_that_cannot_be_exact_are_refused(data: bytes, reason: str) -> None:
    """The reason names the mode."""
    with pytest.raises(UnreadableImageError) as refused:
        decode(data)
    assert reason in str(refused.value)


WRITTEN_BY_PILLOW = {
    "PPM": ("1", "L", "RGB", "RGBA", "I;16"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "RGBX", "CMYK", "YCbCr"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
}
"""LAB, HSV and PA are in none of these formats."""


@pytest.mark.parametrize(
    ("file_format", "mode"), [(name, mode) for name, modes in WRITTEN_BY_PILLOW.items() for mode in modes]
)
def test_modes_that_pillow_writes_are_read_as_it_shows_them(file_format: str, mode: str) -> None:
    """An opaque image, within the error of JPEG."""
    smooth = np.add.outer(np.arange(0, 160, 4), np.arange(0, 80, 2))[..., None] * [1.0, 0.7, 0.4]
    shown = PillowImage.fromarray(smooth.astype(np.uint8)).convert("L" if mode == "I;16" else mode)
    image = PillowImage.fromarray(np.asarray(shown).astype(np.uint16) * 257) if mode == "I;16" else shown
    file = io.BytesIO()
    image.save(file, file_format)
    differences = decode(file.getvalue()).astype(int) - np.asarray(shown.convert("RGB"))
    assert np.abs(differences).max() <= (12 if file_format == "JPEG" else 0)


@pytest.mark.parametrize("colour", [(200, 100, 50, 30), (0, 0, 0, 255), (255, 0, 0, 0)])
def test_modes_with_four_inks_are_converted_to_rgb(colour: tuple[int, int, int, int]) -> None:
    """A CMYK JPEG becomes (255 − ink)(255 − black) / 255 for each colour, within the error of JPEG."""
    file = io.BytesIO()
    PillowImage.new("CMYK", (16, 16), colour).save(file, "JPEG", quality=100)
    *inks, black = colour
    expected = [(255 - ink) * (255 - black) / 255 for ink in inks]
    assert np.abs(decode(file.getvalue()).astype(float) - expected).max() <= 3


TURNED: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}
"""What EXIF's orientation means: 6 is a camera held upright, whose picture has to be turned clockwise."""


def exif(orientation: int) -> bytes:
    """A TIFF header and one entry: tag 0x0112, one short."""
    return b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + bytes(4)


@pytest.mark.parametrize("orientation", TURNED)
def test_modes_and_orientations_of_png_are_applied(orientation: int) -> None:
    """Before any other step, in 8 and 16 bits."""
    expected = TURNED[orientation](RGB)
    np.testing.assert_array_equal(decode(png(RGB, 2, 8, (b"eXIf", exif(orientation)))), expected)
    for samples, colour_type in ((DEEP[:, :, :3], 2), (DEEP[:, :, 0], 0)):
        expected = TURNED[orientation](rounded(samples, 65535))
        np.testing.assert_array_equal(decode(png(samples, colour_type, 16, (b"eXIf", exif(orientation)))), expected)


@pytest.mark.parametrize("orientation", TURNED)
def test_modes_and_orientations_of_jpeg_are_applied(orientation: int) -> None:
    """The pixels are those of the same file without the tag, rotated."""
    plain, tagged = io.BytesIO(), io.BytesIO()
    picture = PillowImage.fromarray(np.kron(RGB, np.ones((8, 8, 1), np.uint8)))
    picture.save(plain, "JPEG")
    picture.save(tagged, "JPEG", exif=b"Exif\0\0" + exif(orientation))
    np.testing.assert_array_equal(decode(tagged.getvalue()), TURNED[orientation](decode(plain.getvalue())))


def test_modes_of_animations_are_refused() -> None:
    """It is unclear which frame of an animated PNG is meant."""
    file = io.BytesIO()
    frames = [PillowImage.fromarray(RGB), PillowImage.fromarray(255 - RGB)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    with pytest.raises(UnreadableImageError, match="an animation"):
        decode(file.getvalue())


def test_lossless_webp_is_read_exactly_and_a_damaged_moving_or_transparent_one_is_refused() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    lossless = _webp(PillowImage.fromarray(pixels))
    np.testing.assert_array_equal(decode(lossless), pixels)
    for size in (len(lossless) // 2, len(lossless) - 1):
        with pytest.raises(UnreadableImageError):
            decode(lossless[:size])
    frames = [PillowImage.fromarray(np.roll(pixels, shift, 0)) for shift in (0, 3)]
    with pytest.raises(UnreadableImageError, match="an animation"):
        decode(_webp(frames[0], save_all=True, append_images=frames[1:]))
    see_through = PillowImage.fromarray(np.dstack([pixels, np.full((9, 7), 9, np.uint8)]))
    with pytest.raises(UnreadableImageError, match="has transparent pixels"):
        decode(_webp(see_through, exact=True))


def _webp(image: PillowImage.Image, **options: Any) -> bytes:
    image.save(written := io.BytesIO(), "WEBP", lossless=True, **options)
    return written.getvalue()


def test_one_channel_is_grey_as_it_was_or_the_luma_of_colours() -> None:
    """0.299 R + 0.587 G + 0.114 B of ITU-R BT.601, to a grey level; grey stays what it is."""
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    colours = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    for pixels, expected in ((grey, grey), (colours, colours @ np.array([0.299, 0.587, 0.114]))):
        PillowImage.fromarray(pixels).save(written := io.BytesIO(), "PNG")
        decoded = decode(written.getvalue(), channels=1)
        assert decoded.shape == (16, 16, 1) and decoded.dtype == np.uint8
        np.testing.assert_allclose(decoded[..., 0].astype(float), expected, atol=0.51)
