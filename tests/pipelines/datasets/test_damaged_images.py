"""Damage that a file's own checksum or size reveals is refused with a reason; otherwise the pixels are the
original's."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from pipelines.datasets import FileReader, Location, UnreadableImageError, decode
from pipelines.spark.frames import read_image

SMOOTH = (np.add.outer(np.arange(40), np.arange(30))[..., None] * [1, 2, 3]).astype(np.uint8)
RNG = np.random.default_rng(11)


def encoded(file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(SMOOTH).save(file, file_format, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(pixels: bytes, *, end: bytes = chunk(b"IEND", b""), pieces: int = 1) -> bytes:
    """A 40 × 30 RGB PNG whose IDAT chunks contain `pixels`, split into several pieces."""
    size = -(-len(pixels) // pieces)
    idat = b"".join(chunk(b"IDAT", pixels[start : start + size]) for start in range(0, len(pixels), size))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 40, 8, 2, 0, 0, 0)) + idat + end


ROWS = b"".join(b"\0" + row.tobytes() for row in SMOOTH)


def outcome(data: bytes) -> str:
    """The reason, or "" for the original pixels; anything else fails."""
    try:
        decoded = decode(data)
    except UnreadableImageError as error:
        return str(error)
    np.testing.assert_array_equal(decoded, SMOOTH)
    return ""


@pytest.mark.parametrize("change", ["one bit", "one byte", "a block", "cut out", "inserted", "truncated"])
def test_no_damage_of_a_png_passes_silently(change: str) -> None:
    """150 random damages of each kind, of a file with all chunks that cameras and editors write."""
    data = png(zlib.compress(ROWS), pieces=3)
    text = chunk(b"tEXt", b"Comment\0a road sign") + chunk(b"tIME", bytes(7))
    data = data[:33] + text + data[33:-12] + text + data[-12:]
    assert outcome(data) == ""
    for _ in range(150):
        damaged, at = bytearray(data), int(RNG.integers(len(data)))
        if change == "one bit":
            damaged[at] ^= 1 << int(RNG.integers(8))
        elif change == "one byte":
            damaged[at] ^= int(RNG.integers(1, 256))
        elif change == "a block":
            damaged[at : at + 16] = RNG.bytes(len(damaged[at : at + 16]))
        elif change == "cut out":
            del damaged[at : at + int(RNG.integers(1, 9))]
        elif change == "inserted":
            damaged[at:at] = RNG.bytes(int(RNG.integers(1, 9)))
        else:
            del damaged[at:]
        assert outcome(bytes(damaged))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png(zlib.compress(ROWS)[:-4] + b"\0\0\0\0"), "cannot be decompressed"),
        (png(zlib.compress(ROWS)[:-4]), "end early"),
        (png(zlib.compress(ROWS[:-100])), "truncated"),
        (png(zlib.compress(ROWS), end=b""), "before the IEND chunk"),
        (png(zlib.compress(ROWS), end=chunk(b"IEND", b"")[:-1] + b"\0"), "chunk b'IEND' at byte"),
        (png(b"\0" * 50), "cannot be decompressed"),
    ],
    ids=["adler", "without adler", "rows missing", "without IEND", "IEND's checksum", "not zlib"],
)
def test_the_checksums_of_a_pngs_pixels_are_checked(data: bytes, reason: str) -> None:
    """Even if the checksum of each chunk is right."""
    assert reason in outcome(data)


@pytest.mark.parametrize("file_format", ["PPM", "BMP"])
def test_no_wrong_number_of_bytes_passes_silently(file_format: str) -> None:
    """PPM and BMP have a size but no checksum: one byte less or more, or a wrong size in the header, is refused."""
    data = encoded(file_format)
    assert outcome(data) == ""
    for damaged in (data[:-1], data + b"\n", data[: len(data) // 2], data + data):
        assert "truncated" in outcome(damaged) or "damaged" in outcome(damaged)
    if file_format == "PPM":
        assert "damaged" in outcome(data.replace(b"30 40", b"20 40"))
        assert "truncated" in outcome(data.replace(b"30 40", b"31 40"))


def test_no_truncated_jpeg_passes_silently() -> None:
    """Truncated anywhere, it gives a reason, or the whole file's pixels if only the end marker is missing."""
    data = encoded("JPEG")
    whole = decode(data)
    for end in range(len(data) - 2):
        try:
            np.testing.assert_array_equal(decode(data[:end]), whole)
        except UnreadableImageError:
            continue
        assert end >= len(data) - 2 - 8


def test_no_damage_of_a_zip_passes_silently(tmp_path: Path) -> None:
    """The CRC of each member finds 100 changed bytes in stored and deflated PPMs, which have no checksum themselves."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = tmp_path / "signs.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("sign.ppm", encoded("PPM"))
            used_bytes = archive.start_dir
        data = path.read_bytes()
        for _ in range(100):
            damaged = bytearray(data)
            damaged[int(RNG.integers(used_bytes))] ^= int(RNG.integers(1, 256))
            path.write_bytes(damaged)
            with FileReader() as reader:
                try:
                    np.testing.assert_array_equal(read_image(reader, Location(str(path), "sign.ppm")), SMOOTH)
                except UnreadableImageError as error:
                    assert str(error)
