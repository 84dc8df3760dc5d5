"""What GTSRB, and the signs that we draw in its form, say of themselves."""

from pathlib import Path

from pipelines.datasets.card import NOT_STATED, DatasetCard
from pipelines.datasets.gtsrb import CLASS_NAMES

__all__ = ["GTSRB_CARD", "SYNTHETIC_SIGNS_CARD", "recognise_gtsrb", "recognise_synthetic_signs"]

_HFLIP = {**{label: label for label in (11, 12, 13, 15, 17, 18, 22, 26, 30, 35)},
          19: 20, 20: 19, 33: 34, 34: 33, 36: 37, 37: 36, 38: 39, 39: 38}  # fmt: skip
"""The label of the sign in the mirror, where it is a sign at all."""
_VFLIP = {label: label for label in (1, 5, 12, 15, 17)}
"""The same for top and bottom exchanged: 3, 8 and 0 have a horizontal axis of symmetry, so 30 and 80 survive."""

GTSRB_CARD = DatasetCard(
    name="gtsrb",
    class_names=CLASS_NAMES,
    channels=3,
    group="a training track: 30 frames of one physical sign; which test images share a sign is not published",
    hflip=_HFLIP,
    vflip=_VFLIP,
    expected_classes=43,
    expected_counts={"train": 39_209, "test": 12_630},
    licence=NOT_STATED,
    citation="J. Stallkamp, M. Schlipsing, J. Salmen, C. Igel, Man vs. computer: Benchmarking machine learning "
    "algorithms for traffic sign recognition, Neural Networks 32, 2012",
)
SYNTHETIC_SIGNS_CARD = DatasetCard(
    name="synthetic_signs",
    class_names=CLASS_NAMES,
    channels=3,
    group="a training track: 30 frames of one drawn sign; each test image is a sign of its own",
    hflip=_HFLIP,
    vflip=_VFLIP,
    licence="Apache-2.0, as this program, which draws them",
    citation="none; drawn, not photographed",
)


def recognise_gtsrb(root: Path) -> str | None:
    """The official archives, folders or Kaggle's tables, in `root` or root/GTSRB, unless we have drawn them."""
    for base in (root, root / "GTSRB"):
        for name in ("Final_Training", "GTSRB_Final_Training_Images.zip", "Train.csv"):
            if (base / name).exists() and not (base / "synthetic_signs.json").exists():
                return f"GTSRB's {name}"
    return None


def recognise_synthetic_signs(root: Path) -> str | None:
    """The stamp beside drawn signs."""
    return "synthetic_signs.json" if (root / "synthetic_signs.json").is_file() else None
