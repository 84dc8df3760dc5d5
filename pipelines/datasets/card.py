"""What a data set says of itself: all that anyone else knows of it."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = ["NAME_PATTERN", "NOT_STATED", "DatasetCard", "Split"]

Split = Literal["train", "validation", "test"]
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""Of a data set: its folder under output_root bears it."""
NOT_STATED = "not stated"
"""Where the publisher says nothing, or nothing that we could verify."""


class DatasetCard(BaseModel):
    """Facts about a data set that do not follow from its pixels.

    `class_names` is by label, so it also says how many classes there are, whether or not each of them has an image.
    `group` says in words which images show one object and so count as one observation; in the splits of
    `unknown_groups` the publisher does not say it, so there each image has a group of its own without being independent
    of the others. `hflip` and `vflip` map a label
    to the label of the image mirrored left to right or top to bottom; an image whose label is missing must not be
    mirrored. `expected_classes`, `expected_counts` (images per split) and `expected_groups` (of train) are
    the publisher's."""

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
        or "": "26,640 of 39,209 train images"."""
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
            raise ValueError(f"class_names contains an empty name, that of label {names.index('')}")
        return names

    @model_validator(mode="after")
    def _mirrors_are_of_its_labels(self) -> Self:
        for key, mirror in (("hflip", self.hflip), ("vflip", self.vflip)):
            for label, mirrored in mirror.items():
                if not (0 <= label < self.num_classes and 0 <= mirrored < self.num_classes):
                    raise ValueError(f"{key}: {label}: {mirrored} is outside the labels 0–{self.num_classes - 1}")
                if mirror.get(mirrored) != label:
                    raise ValueError(f"{key}: {label} becomes {mirrored}, so {mirrored} must become {label}")
        return self
