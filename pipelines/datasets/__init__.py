"""The sources. A new one is one file here, with `listing()`, and one line in DATASETS."""

from pathlib import Path
from typing import Any

from pipelines.datasets.decoding import UnreadableImageError, decode
from pipelines.datasets.files import FileReader, Location
from pipelines.datasets.gtsrb import Gtsrb
from pipelines.datasets.listing import Listing, Rejected, SourceImage
from pipelines.datasets.synthetic_signs import SyntheticSigns

__all__ = [
    "DATASETS",
    "Dataset",
    "FileReader",
    "Listing",
    "Location",
    "Rejected",
    "SourceImage",
    "SyntheticSigns",
    "UnreadableImageError",
    "decode",
    "kind_found",
]  # fmt: skip

Dataset = Gtsrb | SyntheticSigns

DATASETS: dict[str, type[Dataset]] = {
    "gtsrb": Gtsrb,
    "synthetic_signs": SyntheticSigns,
}


def kind_found(settings: dict[str, Any]) -> str:
    """The kind that `kind: auto` stands for: gtsrb where a root is given or its default root is there, otherwise the
    embedded synthetic signs."""
    if settings.get("root") or Path(Gtsrb.model_fields["root"].default).is_dir():
        return "gtsrb"
    return "synthetic_signs"
