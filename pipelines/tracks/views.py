"""What is compared of two images: the sign and its surroundings at fixed sizes, and a few numbers."""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pipelines.datasets import FileReader, SourceImage, UnreadableImageError, decode
from pipelines.errors import SourceError

__all__ = ["Views", "read_views"]

SIGN_PX = 24
WHOLE_PX = 28
DARK = 0.03
"""Is added before the logarithm, on the [0, 1] scale."""
FLAT = 0.02
"""Is added to an image's standard deviation before it is divided by it."""
THREADS = 4
AT_A_TIME = 1000


class Views(NamedTuple):
    """Of N images. `sign` is (N, 24, 24, 3), the annotated region, `whole` (N, 28, 28, 3), the image, both uint8;
    `log_size` (N,), of the region's side in px; `shape` (N, 4): log aspect ratios of region and image, log sharpness
    and log noise; `digests`, SHA-256 of shape and pixels."""

    images: list[SourceImage]
    sign: NDArray[np.uint8]
    whole: NDArray[np.uint8]
    log_size: NDArray[np.float64]
    shape: NDArray[np.float64]
    digests: list[str]

    def of(self, rows: NDArray[np.intp]) -> "Views":
        return Views(
            [self.images[row] for row in rows],
            self.sign[rows],
            self.whole[rows],
            self.log_size[rows],
            self.shape[rows],
            [self.digests[row] for row in rows],
        )

    @property
    def labels(self) -> NDArray[np.int64]:
        return np.array([image.label for image in self.images], np.int64)

    def features(self) -> Iterable[NDArray[np.float32]]:
        """Log intensities of sign and surroundings, as they are (the light) and standardised in each image (what they
        show); (N, values) each."""
        for pixels in (self.sign, self.whole):
            logs = np.log(pixels.reshape(len(pixels), -1).astype(np.float32) / 255 + np.float32(DARK))
            yield logs
            deviation = logs.std(axis=1, keepdims=True)
            yield (logs - logs.mean(axis=1, keepdims=True)) / (deviation + np.float32(FLAT))


class _View(NamedTuple):
    sign: NDArray[np.uint8]
    whole: NDArray[np.uint8]
    log_size: float
    shape: tuple[float, float, float, float]
    digest: str


def read_views(images: Sequence[SourceImage]) -> Views:
    """Opens every image. Raises SourceError for one that cannot be read or has no annotated region."""
    views: list[_View] = []
    with FileReader() as reader, ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(images), AT_A_TIME):
            batch = images[start : start + AT_A_TIME]
            views += pool.map(_view, batch, [_read(reader, image) for image in batch])
    signs, wholes, sizes, shapes, digests = zip(*views, strict=True)
    return Views(list(images), np.stack(signs), np.stack(wholes), np.array(sizes), np.array(shapes), list(digests))


def _read(reader: FileReader, image: SourceImage) -> bytes:
    try:
        return reader.read(image.location)
    except Exception as error:  # noqa: BLE001 - file systems and damaged zips fail in many types
        raise SourceError(f"{image.location}: {type(error).__name__}: {error}; fetch the data set again") from None


def _view(image: SourceImage, data: bytes) -> _View:
    try:
        pixels = decode(data)
    except UnreadableImageError as error:
        raise SourceError(f"{image.location}: {error}; fetch the data set again") from None
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = image.roi_x1, image.roi_y1, image.roi_x2, image.roi_y2
    if x1 is None or y1 is None or x2 is None or y2 is None:
        raise SourceError(f"{image.location}: has no annotated region; tracks are recovered from annotated images only")
    if not (0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height):
        raise SourceError(f"{image.location}: region ({x1}, {y1})–({x2}, {y2}) is not inside {width} × {height}")
    picture = PillowImage.fromarray(pixels)
    sign = picture.resize((SIGN_PX, SIGN_PX), PillowImage.Resampling.BILINEAR, box=(x1, y1, x2 + 1, y2 + 1))
    whole = picture.resize((WHOLE_PX, WHOLE_PX), PillowImage.Resampling.BILINEAR)
    sign_width, sign_height = x2 + 1 - x1, y2 + 1 - y1
    shape = (np.log(sign_width / sign_height), np.log(width / height), *_texture(pixels))
    digest = hashlib.sha256(f"{height} {width} ".encode() + pixels.tobytes()).hexdigest()
    return _View(np.asarray(sign), np.asarray(whole), np.log(sign_width * sign_height) / 2, shape, digest)


def _texture(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Log of the mean step between neighbours relative to the contrast, and of the median difference of a pixel from
    the mean of its four neighbours."""
    grey = pixels.mean(axis=2, dtype=np.float32)
    steps = np.abs(np.diff(grey, axis=1)).mean() / (grey.std() + 1)
    around = (grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]) / 4
    noise = np.median(np.abs(grey[1:-1, 1:-1] - around))
    return float(np.log(steps + 0.01)), float(np.log(noise + 0.01))
