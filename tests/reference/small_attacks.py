"""A small dataset, an untrained classifier for it, and the ratios of adversarial rows in plain NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from small_datasets import Small

from training.classifiers.trained import Classifier, Shape
from training.models.baseline_cnn import BaselineCnn

SIZE_PX = 8
BLACK = "test/00003"


@dataclass(frozen=True)
class Signs(Small):
    """One test image is black."""

    def image(self, variant: str, image_id: str) -> np.ndarray[Any, Any]:
        pixels = super().image(variant, image_id)
        return np.zeros_like(pixels) if image_id == BLACK else pixels


def write_signs(root: Path, variants: Sequence[str] = ("clean",)) -> Path:
    return Signs({"test": [[7, 4], [5]], "validation": [[6]]}, variants, size_px=SIZE_PX).write(root)


def classifier(seed: int = 0, size_px: int = SIZE_PX, classes: int = 43) -> Classifier:
    shape = Shape(size_px, classes, (0.5, 0.4, 0.6), (0.3, 0.2, 0.25))
    return Classifier(shape.build(BaselineCnn(), seed).eval(), BaselineCnn(), shape)


def rows(folder: Path, dtype: str) -> list[dict[str, Any]]:
    """All rows in file order, each image (S, S, 3)."""
    return [
        {**row, "image": np.frombuffer(row["image"], dtype).reshape(SIZE_PX, SIZE_PX, 3)}
        for path in sorted(folder.glob("split=*/*.parquet"))
        for row in pq.read_table(path, partitioning=None).to_pylist()
    ]


def snr_db(clean: np.ndarray[Any, Any], changed: np.ndarray[Any, Any]) -> float:
    """20 log₁₀(‖x‖ / ‖x' − x‖), Parseval report, equation 2; of float32 images on the same scale."""
    signal, noise = (np.linalg.norm(values.astype(np.float64)) for values in (clean, changed - clean))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(20 * np.log10(np.float64(signal) / np.float64(noise)))
