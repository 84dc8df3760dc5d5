import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pipelines.datasets.decoding import MAX_PIXELS, UnreadableImageError, decode
from pipelines.datasets.files import MAX_BYTES, FileReader, Location
from pipelines.noise import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)


def _encoded(pixels: NDArray[np.generic], file_format: str, mode: str | None = None, **options: object) -> bytes:
    image = PillowImage.fromarray(pixels)
    file = io.BytesIO()
    (image.convert(mode) if mode else image).save(file, file_format, **options)
    return file.getvalue()


def _png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """An 8-bit grey PNG whose header claims width × height, written by the specification without Pillow."""
    every = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in every
    )


def _reason(data: bytes) -> str:
    with pytest.raises(UnreadableImageError) as refused:
        decode(data)
    return str(refused.value)


@pytest.mark.parametrize("file_format", ["PPM", "PNG", "BMP"])
def test_lossless_formats_give_their_pixels(file_format: str) -> None:
    """Lossless formats give exactly the pixels, height × width × RGB, uint8."""
    decoded = decode(_encoded(PIXELS, file_format))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, PIXELS)


def test_a_ppm_written_by_hand_is_red_green_blue_in_rows() -> None:
    """Two rows of one pixel: red over blue, with a comment in the header as some cameras write it."""
    decoded = decode(b"P6\n# by hand\n1 2\n255\n\xff\x00\x00\x00\x00\xff")
    assert decoded.tolist() == [[[255, 0, 0]], [[0, 0, 255]]]


def test_a_png_written_by_hand_is_grey_in_three_channels() -> None:
    """Filter byte 0 and two grey levels."""
    assert decode(_png(2, 1, (b"IDAT", zlib.compress(b"\x00\x10\xf0")))).tolist() == [[[16] * 3, [240] * 3]]


def test_jpeg_gives_nearly_its_pixels() -> None:
    """JPEG is lossy; at quality 95 an even colour stays within 3 grey levels."""
    even = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    decoded = decode(_encoded(even, "JPEG", quality=95))
    assert decoded.shape == even.shape
    assert np.abs(decoded.astype(int) - even).max() <= 3


def test_grey_becomes_three_equal_channels() -> None:
    """PGM, grey PNG and grey JPEG."""
    grey = PIXELS[:, :, 0]
    for file_format in ("PPM", "PNG"):
        np.testing.assert_array_equal(decode(_encoded(grey, file_format)), np.repeat(grey[:, :, None], 3, axis=2))
    jpeg = decode(_encoded(grey, "JPEG"))
    assert (jpeg == jpeg[:, :, :1]).all()


def test_a_palette_becomes_its_colours() -> None:
    """Four colours, given by index."""
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
    numbers = np.random.default_rng(0).integers(0, 4, (6, 4)).astype(np.uint8)
    image = PillowImage.fromarray(numbers).convert("L")
    image.putpalette(colours.ravel().tolist())
    file = io.BytesIO()
    image.save(file, "PNG")
    np.testing.assert_array_equal(decode(file.getvalue()), colours[numbers])


@pytest.mark.parametrize("file_format", ["PPM", "PNG", "JPEG", "BMP"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(file_format: str, part: float) -> None:
    """Truncated anywhere, it is refused."""
    data = _encoded(np.tile(PIXELS, (8, 8, 1)), file_format)
    assert _reason(data[: int(part * len(data))])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"an image, honestly\n",
        b"Filename;Width;Height\n00000.ppm;3;3\n",
        b"PK\x03\x04" + b"\x00" * 60,
    ],
    ids=["empty", "zeros", "text", "csv", "zip"],
)
def test_a_file_that_is_not_an_image_is_refused(data: bytes) -> None:
    """The message lists the supported formats."""
    assert _reason(data) == "not a PPM, PNG, JPEG, BMP or WebP image"


@pytest.mark.parametrize("file_format", ["GIF", "TIFF", "ICO"])
def test_other_formats_are_refused_although_pillow_reads_them(file_format: str) -> None:
    """Only the decoders that are needed are exposed to untrusted bytes."""
    assert _reason(_encoded(PIXELS, file_format)) == "not a PPM, PNG, JPEG, BMP or WebP image"


@pytest.mark.parametrize(
    "data",
    [b"P6\n60000 60000\n255\n" + b"\x00" * 100, _png(60000, 60000, (b"IDAT", zlib.compress(b"\x00" * 100)))],
    ids=["ppm", "png"],
)
def test_a_header_that_claims_60000_squared_is_refused(data: bytes) -> None:
    """A decompression bomb of a few hundred bytes is refused by its header, before memory is allocated."""
    assert "DecompressionBomb" in _reason(data) or "60000 × 60000" in _reason(data)


def test_one_row_more_than_the_pixel_limit_is_refused_and_the_limit_is_not() -> None:
    """4096 × 4096 is read; 4096 × 4097 is not, although Pillow itself would."""
    assert MAX_PIXELS == 4096 * 4096
    rows = zlib.compress(bytes(4097 * 4097), 1)
    assert _reason(_png(4096, 4097, (b"IDAT", rows))) == "claims 4096 × 4097 pixels, more than 16,777,216"
    decoded: Image = decode(_png(4096, 4096, (b"IDAT", rows)))
    assert decoded.shape == (4096, 4096, 3)


def test_a_png_with_a_swollen_text_chunk_is_refused() -> None:
    """A highly compressed comment is not unpacked without a limit."""
    text = b"comment\x00\x00" + zlib.compress(bytes(80 * 2**20), 9)
    assert _reason(_png(2, 1, (b"zTXt", text), (b"IDAT", zlib.compress(b"\x00\x10\xf0"))))


def _claiming(path: Path, size_bytes: int) -> None:
    """A zip whose only member has 3 bytes, while its directory claims `size_bytes`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.ppm", b"abc")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, size_bytes)
    path.write_bytes(data)


def test_a_reader_reads_files_and_zip_members(tmp_path: Path) -> None:
    """Files and zip members are read by location, repeatedly and from several zips."""
    (tmp_path / "b.ppm").write_bytes(b"outside")
    for name in ("one", "two"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr("a/b.ppm", name)
    with FileReader() as reader:
        assert reader.read(Location("", str(tmp_path / "b.ppm"))) == b"outside"
        for name in ("one", "two", "one"):
            assert reader.read(Location(str(tmp_path / f"{name}.zip"), "a/b.ppm")) == name.encode()


def test_a_member_that_claims_more_than_the_limit_is_not_unpacked(tmp_path: Path) -> None:
    """The declared size is checked before a byte is unpacked; the limit is 256 MiB."""
    assert MAX_BYTES == 256 * 2**20
    _claiming(tmp_path / "bomb.zip", MAX_BYTES + 1)
    with FileReader() as reader, pytest.raises(ValueError, match="268,435,457 bytes is over the limit of 268,435,456"):
        reader.read(Location(str(tmp_path / "bomb.zip"), "a.ppm"))


def test_a_member_that_unpacks_to_another_size_than_it_claims_is_refused(tmp_path: Path) -> None:
    """A wrong size below the limit is refused too."""
    _claiming(tmp_path / "liar.zip", 2)
    with FileReader() as reader, pytest.raises(zipfile.BadZipFile):
        reader.read(Location(str(tmp_path / "liar.zip"), "a.ppm"))


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    """A sparse file one byte over the limit uses no disk space or memory."""
    with (tmp_path / "huge.ppm").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with FileReader() as reader, pytest.raises(ValueError, match="268,435,457 bytes is over the limit of 268,435,456"):
        reader.read(Location("", str(tmp_path / "huge.ppm")))


def test_a_missing_file_or_zip_is_named(tmp_path: Path) -> None:
    """For a missing file and for a missing zip."""
    with FileReader() as reader:
        for location in (Location("", str(tmp_path / "no.ppm")), Location(str(tmp_path / "no.zip"), "a.ppm")):
            with pytest.raises(FileNotFoundError, match="no"):
                reader.read(location)


def test_a_location_is_written_as_a_path_or_as_archive_and_member() -> None:
    """The form used in messages and in the table of rejected images."""
    assert str(Location("", "a/b.ppm")) == "a/b.ppm"
    assert str(Location("a.zip", "b.ppm")) == "a.zip!b.ppm"
