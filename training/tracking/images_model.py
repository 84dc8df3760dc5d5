"""What MLflow's flavour python_function loads: uint8 images of any size in, class names and probabilities out.

This file is copied into each logged model, where it runs without this project; so it imports nothing of it, and repeats
crop_or_pad and resize of pipelines.geometry, to which a test compares it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

__all__ = ["DESCRIPTION", "ImagesModel"]

DESCRIPTION = "images.json"


class ImagesModel:
    """`module`: (N, channels, size_px, size_px) float32 in [0, 1] → logits (N, classes)."""

    def __init__(self, module: torch.nn.Module, geometry: str, size_px: int, class_names: list[str]) -> None:
        self.module = module
        self.geometry = geometry
        self.size_px = size_px
        self.class_names = class_names

    def predict(self, images: NDArray[np.uint8], params: dict[str, Any] | None = None) -> pd.DataFrame:
        """class_name and probability of each of the images (N, height, width, channels), made square by the geometry of
        the training images. Where these were cut out by their regions, an image is taken for the sign alone."""
        square = np.stack([self._square(image) for image in images])
        with torch.inference_mode():
            logits = self.module(torch.from_numpy(square).permute(0, 3, 1, 2).to(torch.float32).div_(255))
        probabilities, classes = logits.softmax(dim=1).max(dim=1)
        names = [self.class_names[number] for number in classes.tolist()]
        return pd.DataFrame({"class_name": names, "probability": probabilities.tolist()})

    def _square(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        size = self.size_px
        if self.geometry != "crop_or_pad":
            pixels = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
            return np.asarray(pixels.resize((size, size), Image.Resampling.BILINEAR)).reshape(size, size, -1)
        square = np.zeros((size, size, image.shape[2]), np.uint8)
        (rows, to_rows), (columns, to_columns) = (_centre(length, size) for length in image.shape[:2])
        square[to_rows, to_columns] = image[rows, columns]
        return square


def _centre(have_px: int, want_px: int) -> tuple[slice, slice]:
    """The pixels read and the pixels written along one side."""
    length, start = min(have_px, want_px), abs(have_px - want_px) // 2
    inner, outer = slice(0, length), slice(start, start + length)
    return (outer, inner) if have_px > want_px else (inner, outer)


def _load_pyfunc(path: str) -> ImagesModel:
    """Called by mlflow.pyfunc.load_model."""
    module = torch.export.load(Path(path) / "model.pt2").module()
    return ImagesModel(module, **json.loads((Path(path) / DESCRIPTION).read_text(encoding="utf-8")))
