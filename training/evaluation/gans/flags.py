"""Signs that a generator has collapsed, or that it recites its training images; no sign is no proof of the contrary."""

from collections.abc import Mapping

import pyarrow as pa
from pydantic import Field

from pipelines.settings import Settings

__all__ = ["Thresholds"]

BELOW = {
    "classes_covered": "a classifier finds only {value:.0%} of the classes among its images; its modes have collapsed",
    "recall_gtsrb": "only {value:.1%} of the real images lie among the generated ones; it makes a part of them alone",
    "label_accuracy": "a classifier sees the class that was asked for in only {value:.0%} of its images",
}
ABOVE = {
    "duplicates": "{value:.1%} of its images have another one that is the same; it makes few different ones",
    "copied": "{value:.1%} of its images are the same as a training image; it recites them",
}


class Thresholds(Settings):
    """Below the first three or above the last two, a generator is flagged."""

    classes_covered: float = Field(default=0.8, ge=0, le=1)
    recall_gtsrb: float = Field(default=0.1, ge=0, le=1)
    label_accuracy: float = Field(default=0.5, ge=0, le=1)
    duplicates: float = Field(default=0.1, ge=0, le=1)
    copied: float = Field(default=0.1, ge=0, le=1)

    def find_flags(self, table: pa.Table, models: Mapping[str, bool]) -> list[str]:
        """A sentence each, with model, metric and threshold, of the rows of `models`; True of those that are to fool a
        classifier, of which it may say what it likes."""
        flags = []
        for row in table.to_pylist():
            metric, value = row["metric"], row["value"]
            if row["model"] not in models or value is None or (metric == "label_accuracy" and models[row["model"]]):
                continue
            limit = getattr(self, metric, None)
            if (metric in BELOW and value < limit) or (metric in ABOVE and value > limit):
                text = (BELOW | ABOVE)[metric].format(value=value)
                flags.append(f"{row['model']}: {text} ({metric} {value:.3g}, threshold {limit:g})")
        return flags
