"""Images on their way between a row group and the code that attacks, generates or scores them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["AttackedImages", "ChosenDraws", "GeneratedImages", "Scores", "SourceImages"]


class SourceImages(NamedTuple):
    """N images of the source dataset of an attack or a generator: `labels` (N,), `pixels` (N, S, S, channels),
    uint8."""

    image_ids: list[str]
    labels: NDArray[np.int32]
    groups: list[str]
    pixels: NDArray[np.uint8]


class AttackedImages(NamedTuple):
    """The adversarial images of N source images: `pixels` (N, S, S, channels), float32 in [0, 1], and the columns of
    the contract, each (N,). `snr_db` is NaN if the source image is black."""

    variant: str
    pixels: NDArray[np.float32]
    snr_db_asked: NDArray[np.float32]
    snr_db_before_clamp: NDArray[np.float32]
    snr_db: NDArray[np.float32]
    snr_db_uint8: NDArray[np.float32]
    prediction_before: NDArray[np.int32]
    prediction_after: NDArray[np.int32]


class ChosenDraws(NamedTuple):
    """How a classifier chose N generated images: the number of images drawn for each (N,), and whether it gives the
    chosen one's label the confidence that was asked for (N,)."""

    draws: NDArray[np.int32]
    confident: NDArray[np.bool_]


class GeneratedImages(NamedTuple):
    """Images generated for the labels of N source images: `pixels` (N, S, S, channels), uint8."""

    variant: str
    pixels: NDArray[np.uint8]
    chosen: ChosenDraws | None = None


class Scores(NamedTuple):
    """A classifier's `predictions` (N,), the classes of N images, and `confidences` (N,), their probabilities."""

    predictions: NDArray[np.int32]
    confidences: NDArray[np.float32]
