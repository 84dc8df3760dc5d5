"""The card of a data set: everything that the rest of the program knows about it."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = ["NAME_PATTERN", "NOT_STATED", "DatasetCard", "Split"]

Split = Literal["train", "validation", "test"]
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""The pattern of a data set's name, which is also the name of its folder under output_root."""
NOT_STATED = "not stated"
"""For facts that the publisher does not state, or that could not be verified."""


class DatasetCard(BaseModel):
    """Facts about a data set that do not follow from its pixels.

    `class_names` is indexed by label, so it also gives the number of classes, including classes without an image.
    `group` describes which images show the same object and so count as one observation; in the splits of
    `unknown_groups` the publisher does not say so, and each image has a group of its own without being independent of
    the others. `hflip` and `vflip` map a label to the label of the image mirrored left to right or top to bottom;
    images whose label is missing must not be mirrored. `expected_classes`, `expected_counts` (images per split) and
    `expected_groups` (groups in train) are the publisher's numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=f"^{NAME_PATTERN}$")
    class_names: tuple[str, ...] = Field(min_length=2)
    channels: Literal[1, 3]
    group: str
    unknown_groups: tuple[Split, ...] = Field(default=(), exclude_if=lambda splits: not splits)
    hflip: dict[int, int] = Field(default_factory=dict)
    vflip: dict[int, int] = Field(default_factory=dict)
    expected_classes: int | None = None
    expected_counts: dict[Split, int] = Field(default_factory=dict)
    expected_groups: int | None = None
    licence: str
    citation: str

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def differences(self, counts: Mapping[Split, int], groups: int) -> str:
        """How a copy with `counts` images per split and `groups` groups in train differs from the publisher's numbers,
        for example "26,640 of 39,209 train images"; "" if it does not differ."""
        numbers: list[tuple[int, int | None, str]] = [(self.num_classes, self.expected_classes, "classes")]
        numbers += [(counts.get(split, 0), count, f"{split} images") for split, count in self.expected_counts.items()]
        numbers.append((groups, self.expected_groups, "groups of train images"))
        return ", ".join(
            f"{there:,} of {whole:,} {name}" for there, whole, name in numbers if whole not in (None, there)
        )

    @field_validator("class_names")
    @classmethod
    def _each_name_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise ValueError(f"class_names contains duplicates: {', '.join(duplicates)}")
        if "" in names:
            raise ValueError(f"class_names contains an empty name for label {names.index('')}")
        return names

    @model_validator(mode="after")
    def _mirrors_map_known_labels(self) -> Self:
        for key, mirror in (("hflip", self.hflip), ("vflip", self.vflip)):
            for label, mirrored in mirror.items():
                if not (0 <= label < self.num_classes and 0 <= mirrored < self.num_classes):
                    raise ValueError(f"{key}: {label}: {mirrored} is outside the labels 0–{self.num_classes - 1}")
                if mirror.get(mirrored) != label:
                    raise ValueError(f"{key}: {label} is mapped to {mirrored}, so {mirrored} must be mapped to {label}")
        return self
