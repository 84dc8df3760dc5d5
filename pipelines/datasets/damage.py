"""Damage that an image file reveals by itself, by its checksums and sizes, where Pillow does not look."""

import struct
import zlib

__all__ = ["UnreadableImageError", "refuse_damaged_bmp", "refuse_damaged_png"]

PNG_SIGNATURE_BYTES = 8
PIECE_BYTES = 2**20


class UnreadableImageError(ValueError):
    """The bytes are no image that we read; the message says why."""


def refuse_damaged_png(data: bytes, most_bytes: int) -> None:
    """Checks the CRC of every chunk up to IEND, and that of the compressed pixels as a whole.

    Pillow checks the CRC of the chunks before the pixels alone. Pixels that unpack to more than `most_bytes` are
    refused too. Raises UnreadableImageError."""
    view = memoryview(data)
    pixels = bytearray()
    name, start = b"", PNG_SIGNATURE_BYTES
    while name != b"IEND":
        if start + 12 > len(data):
            raise UnreadableImageError(f"truncated: ends at byte {len(data):,}, before its end mark IEND")
        length, name = struct.unpack_from(">I4s", data, start)
        end = start + 8 + length
        if end + 4 > len(data):
            raise UnreadableImageError(f"truncated or damaged: its part {name!r} at byte {start:,} goes beyond its end")
        if zlib.crc32(view[start + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise UnreadableImageError(f"damaged: its part {name!r} at byte {start:,} has a wrong checksum")
        if name == b"IDAT":
            pixels += view[start + 8 : end]
        start = end + 4
    _refuse_damaged_stream(bytes(pixels), most_bytes)


def _refuse_damaged_stream(compressed: bytes, most_bytes: int) -> None:
    stream = zlib.decompressobj()
    unpacked_bytes = 0
    try:
        while not stream.eof:
            piece = stream.decompress(compressed, PIECE_BYTES)
            compressed = stream.unconsumed_tail
            unpacked_bytes += len(piece)
            if not piece and not stream.eof:
                raise UnreadableImageError("truncated: its compressed pixels break off")
            if unpacked_bytes > most_bytes:
                raise UnreadableImageError(f"its pixels unpack to more than {most_bytes:,} bytes")
    except zlib.error as error:
        raise UnreadableImageError(f"damaged: its compressed pixels cannot be unpacked ({error})") from None


def refuse_damaged_bmp(data: bytes) -> None:
    """Compares the size of the file with the one in its header. Raises UnreadableImageError."""
    claimed_bytes = int.from_bytes(data[2:6], "little")
    if claimed_bytes != len(data):
        raise UnreadableImageError(f"truncated or damaged: {len(data):,} bytes, its header says {claimed_bytes:,}")
