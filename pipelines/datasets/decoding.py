"""Decodes the bytes of an image file to pixels, exactly or not at all.

A sample of any depth becomes round(sample · 255 / largest sample of that depth). The EXIF orientation is applied.
Colour profiles (ICC), gamma and background colours in a file are ignored, as by torchvision, OpenCV and Pillow."""

import io
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFile, ImageOps, UnidentifiedImageError

from pipelines.datasets.damage import UnreadableImageError, refuse_damaged_bmp, refuse_damaged_png
from pipelines.noise.contract import Image

__all__ = ["MAX_PIXELS", "UnreadableImageError", "decode"]

MAX_PIXELS = 4096 * 4096
"""A file whose header claims more is refused as a decompression bomb."""
MAX_PNG_BYTES = 9 * MAX_PIXELS
"""8 bytes per pixel (16-bit RGBA), plus the filter bytes of the rows."""
BMP_MODES = {1: ("1", "P"), 4: ("P",), 8: ("L", "P"), 24: ("RGB",), 32: ("RGB", "RGBA")}
"""The modes that Pillow reads exactly, by bits per pixel."""
LOW_BYTE_RAW_MODES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
"""Raw modes that make Pillow read the low byte of each sample: it takes the byte that the raw mode marks as high."""
CONVERTIBLE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK")


def decode(data: bytes, channels: int = 3) -> Image:
    """Decodes PPM, PNG, JPEG, BMP or WebP to uint8 (height, width, 3) in RGB, or for `channels` = 1 to (height, width,
    1), the luma of ITU-R BT.601. Raises UnreadableImageError."""
    colour = _decode(data)
    return colour if channels == 3 else np.asarray(PillowImage.fromarray(colour).convert("L"))[:, :, np.newaxis]


def _decode(data: bytes) -> Image:
    try:
        with _open(data) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableImageError(f"claims {width} × {height} pixels, more than {MAX_PIXELS:,}")
            if width * height == 0:
                raise UnreadableImageError(f"claims {width} × {height} pixels")
            if image.format == "PPM":
                return _decode_netpbm(image, data)
            return _decode_other(image, data)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError("not a PPM, PNG, JPEG, BMP or WebP image") from None
    except Exception as error:  # noqa: BLE001 - decoders raise many exception types on malformed bytes
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from None


def _open(data: bytes) -> ImageFile.ImageFile:
    image = PillowImage.open(io.BytesIO(data), formats=("PPM", "PNG", "JPEG", "BMP", "WEBP"))
    assert isinstance(image, ImageFile.ImageFile)
    return image


def _decode_netpbm(image: ImageFile.ImageFile, data: bytes) -> Image:
    """Decodes PBM, PGM and PPM. Pillow scales samples of more than 8 bits twice, and ignores bytes after the last
    pixel."""
    magic = re.match(rb"P[1-6](?=\s)", data)
    if magic is None or image.mode not in ("1", "L", "I", "RGB"):
        raise UnreadableImageError("not a PPM, PNG, JPEG, BMP or WebP image")
    width, height = image.size
    _, _, start, arguments = image.tile[0]
    if magic[0] in (b"P1", b"P2", b"P3"):
        if image.mode == "I":
            raise UnreadableImageError("a text PGM (P2) of more than 8 bits; save it as binary PGM (P5)")
        return np.asarray(image.convert("RGB"))
    if magic[0] == b"P4":
        _refuse_other_size(len(data) - start, (width + 7) // 8 * height)
        return np.asarray(image.convert("RGB"))
    largest = arguments[1] if isinstance(arguments, tuple) else 65535 if arguments == "I;16B" else 255
    dtype, channels = np.dtype(">u2" if largest > 255 else "u1"), 3 if magic[0] == b"P6" else 1
    _refuse_other_size(len(data) - start, width * height * channels * dtype.itemsize)
    pixels = _to_8_bits(np.frombuffer(data, dtype, offset=start), largest).reshape(height, width, channels)
    return pixels if channels == 3 else np.repeat(pixels, 3, axis=2)


def _refuse_other_size(have_bytes: int, need_bytes: int) -> None:
    if have_bytes != need_bytes:
        reason = "truncated" if have_bytes < need_bytes else "damaged, or more than one image"
        raise UnreadableImageError(f"{reason}: {have_bytes:,} bytes of pixels, but the header says {need_bytes:,}")


def _to_8_bits(samples: NDArray[Any], largest: int) -> NDArray[np.uint8]:
    if largest == 255:
        return samples
    if samples.max() > largest:
        raise UnreadableImageError(f"damaged: a sample is {samples.max()}, but the header says at most {largest}")
    wide = samples.astype(np.uint32)
    return ((2 * 255 * wide + largest) // (2 * largest)).astype(np.uint8)


def _decode_other(image: ImageFile.ImageFile, data: bytes) -> Image:
    """Decodes PNG, JPEG, BMP and WebP."""
    if getattr(image, "n_frames", 1) > 1:
        raise UnreadableImageError("an animation; save a single frame")
    if image.format == "PNG":
        refuse_damaged_png(data, MAX_PNG_BYTES)
    elif image.format == "BMP":
        refuse_damaged_bmp(data)
        bits = int.from_bytes(data[24:26] if data[14:18] == b"\x0c\0\0\0" else data[28:30], "little")
        if image.mode not in BMP_MODES.get(bits, ()):
            raise UnreadableImageError(f"a BMP of {bits} bits per pixel (mode {image.mode}); save it with 24 bits")
    raw_mode = image.tile[0].args if image.tile else None
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "I;16" or (isinstance(raw_mode, str) and raw_mode.endswith(";16B")):
        return _decode_16_bits(image, data, str(raw_mode))
    if image.mode not in CONVERTIBLE_MODES:
        raise UnreadableImageError(f"pixels of mode {image.mode}; save it as RGB with 8 bits")
    if image.mode == "P" and int(np.asarray(image).max()) * 3 >= len(image.getpalette() or ()):
        raise UnreadableImageError("damaged: a pixel's colour index is not in the palette")
    if image.has_transparency_data:
        _refuse_transparent(np.asarray(image.convert("RGBA"))[:, :, 3], 255)
    return np.asarray(image.convert("RGB"))


def _decode_16_bits(image: ImageFile.ImageFile, data: bytes, raw_mode: str) -> Image:
    if image.mode == "I;16" and "transparency" not in image.info:
        return np.repeat(_to_8_bits(np.asarray(image), 65535)[:, :, None], 3, axis=2)
    if raw_mode not in LOW_BYTE_RAW_MODES or (image.mode == "RGB" and "transparency" in image.info):
        raise UnreadableImageError("16 bits per sample and transparency; save it as RGB with 8 bits")
    with _open(data) as low:
        low.tile = [low.tile[0]._replace(args=LOW_BYTE_RAW_MODES[raw_mode])]
        ImageOps.exif_transpose(low, in_place=True)
        samples = np.asarray(image).astype(np.uint32) << 8 | np.asarray(low)
    if image.mode == "RGBA":
        _refuse_transparent(samples[:, :, 3], 65535)
    return _to_8_bits(samples[:, :, :3], 65535)


def _refuse_transparent(alpha: NDArray[Any], opaque: int) -> None:
    if alpha.min() < opaque:
        raise UnreadableImageError("has transparent pixels without a known background; save it as RGB")
