"""Checks of an image file's own checksums and sizes that Pillow does not make."""

import struct
import zlib

__all__ = ["UnreadableImageError", "refuse_damaged_bmp", "refuse_damaged_png"]

PNG_SIGNATURE_BYTES = 8
PIECE_BYTES = 2**20


class UnreadableImageError(ValueError):
    """The bytes are not a supported image; the message says why."""


def refuse_damaged_png(data: bytes, max_bytes: int) -> None:
    """Checks the CRC of every chunk up to IEND, and the checksum of the whole compressed pixel stream.

    Pillow checks only the CRCs of the chunks before the pixels. Pixels that decompress to more than `max_bytes` are
    refused too. Raises UnreadableImageError."""
    view = memoryview(data)
    pixels = bytearray()
    name, start = b"", PNG_SIGNATURE_BYTES
    while name != b"IEND":
        if start + 12 > len(data):
            raise UnreadableImageError(f"truncated: ends at byte {len(data):,}, before the IEND chunk")
        length, name = struct.unpack_from(">I4s", data, start)
        end = start + 8 + length
        if end + 4 > len(data):
            raise UnreadableImageError(f"truncated or damaged: chunk {name!r} at byte {start:,} extends past the end")
        if zlib.crc32(view[start + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise UnreadableImageError(f"damaged: chunk {name!r} at byte {start:,} has a wrong checksum")
        if name == b"IDAT":
            pixels += view[start + 8 : end]
        start = end + 4
    _refuse_damaged_stream(bytes(pixels), max_bytes)


def _refuse_damaged_stream(compressed: bytes, max_bytes: int) -> None:
    stream = zlib.decompressobj()
    unpacked_bytes = 0
    try:
        while not stream.eof:
            piece = stream.decompress(compressed, PIECE_BYTES)
            compressed = stream.unconsumed_tail
            unpacked_bytes += len(piece)
            if not piece and not stream.eof:
                raise UnreadableImageError("truncated: the compressed pixels end early")
            if unpacked_bytes > max_bytes:
                raise UnreadableImageError(f"the pixels decompress to more than {max_bytes:,} bytes")
    except zlib.error as error:
        raise UnreadableImageError(f"damaged: the compressed pixels cannot be decompressed ({error})") from None


def refuse_damaged_bmp(data: bytes) -> None:
    """Compares the size of the file with the size in its header. Raises UnreadableImageError."""
    claimed_bytes = int.from_bytes(data[2:6], "little")
    if claimed_bytes != len(data):
        raise UnreadableImageError(f"truncated or damaged: {len(data):,} bytes, but the header says {claimed_bytes:,}")
