"""Which images a measurement on a part of a split takes."""

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["random_sample"]


def random_sample(image_ids: NDArray[np.str_], images: int | None) -> NDArray[np.str_]:
    """The first `images` ids in the order of a hash, which is a random sample, and the same for every model; None: all
    of them."""
    order = sorted(image_ids.tolist(), key=lambda image_id: hashlib.sha256(image_id.encode()).digest())
    return np.array(order[:images], np.str_)
