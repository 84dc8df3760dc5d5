"""Signs of mode collapse or of memorized training images. The absence of flags does not prove the contrary."""

from collections.abc import Mapping

import pyarrow as pa
from pydantic import Field

from pipelines.settings import Settings

__all__ = ["Thresholds"]

BELOW = {
    "classes_covered": "a classifier finds only {value:.0%} of the classes among its images; mode collapse",
    "recall_task": "only {value:.1%} of the real images lie among the generated ones; it covers only a part of them",
    "label_accuracy": "a classifier predicts the requested class for only {value:.0%} of its images",
}
ABOVE = {
    "duplicates": "{value:.1%} of its images are duplicates of another one; mode collapse",
    "copied": "{value:.1%} of its images are the same as a training image; memorized training images",
}


class Thresholds(Settings):
    """A generator is flagged if a value is below one of the first three thresholds or above one of the last two."""

    classes_covered: float = Field(default=0.8, ge=0, le=1)
    recall_task: float = Field(default=0.1, ge=0, le=1)
    label_accuracy: float = Field(default=0.5, ge=0, le=1)
    duplicates: float = Field(default=0.1, ge=0, le=1)
    copied: float = Field(default=0.1, ge=0, le=1)

    def find_flags(self, table: pa.Table, models: Mapping[str, bool]) -> list[str]:
        """A sentence for each flag, with model, metric and threshold, for the rows of `models`; the value is True for
        generators that are to fool a classifier, for which the classifier's predictions are not flagged."""
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
