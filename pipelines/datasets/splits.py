"""Splits validation off train by whole groups of images, and takes a fraction of the groups that are left."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipelines.datasets.listing import SourceImage

__all__ = ["Duplicates", "find_duplicates", "training_groups", "validation_groups"]


class Duplicates(NamedTuple):
    """Pixel-identical images. `across_splits` has the ids of each set of duplicates that spans several splits."""

    groups: int
    images: int
    across_splits: list[list[str]]
    shared: frozenset[str]
    """The training groups that have an image in common with another group or another split."""


def find_duplicates(images: Sequence[SourceImage], pixel_digests: Mapping[str, bytes]) -> Duplicates:
    """Finds sets of `images` with equal pixels, given the digest of the pixels by image_id."""
    seen: set[bytes] = set()
    repeated: set[bytes] = set()
    for image in images:
        digest = pixel_digests[image.image_id]
        (repeated if digest in seen else seen).add(digest)
    by_digest: defaultdict[bytes, list[SourceImage]] = defaultdict(list)
    for image in images:
        if (digest := pixel_digests[image.image_id]) in repeated:
            by_digest[digest].append(image)
    same = list(by_digest.values())
    across_splits = sorted(
        sorted(image.image_id for image in found) for found in same if len({image.split for image in found}) > 1
    )
    shared = [found for found in same if len({(image.split, image.unit) for image in found}) > 1]
    groups = frozenset(image.unit for found in shared for image in found if image.split == "train")
    return Duplicates(len(same), sum(map(len, same)), across_splits, groups)


def validation_groups(
    images: Sequence[SourceImage], fraction: float, seed: int, never: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Chooses about `fraction` of the groups of each class in train, determined by `seed`; groups in `never` are not
    chosen. Empty if the data set has its own validation split.

    GTSRB's training images are tracks of 30 frames of one physical sign, so a split by image would put nearly identical
    images into both splits. A group with images of several classes is kept together. Every class with at least two
    groups has one in train and one in validation, unless all of them are in `never` or another class needs them in
    train."""
    if fraction <= 0 or any(image.split == "validation" for image in images):
        return frozenset()
    by_label: defaultdict[int, set[str]] = defaultdict(set)
    labels_of: defaultdict[str, set[int]] = defaultdict(set)
    for image in images:
        if image.split == "train":
            by_label[image.label].add(image.unit)
            labels_of[image.unit].add(image.label)
    left = {label: len(groups) for label, groups in by_label.items()}
    chosen: set[str] = set()
    for _, groups in sorted(by_label.items()):
        wanted = min(max(1, round(fraction * len(groups))), len(groups) - 1)
        already = len(groups & chosen)
        for group in sorted(groups - never - chosen, key=lambda group: _rank(seed, "validation", group)):
            if already >= wanted:
                break
            if all(left[label] > 1 for label in labels_of[group]):
                chosen.add(group)
                already += 1
                for label in labels_of[group]:
                    left[label] -= 1
    return frozenset(chosen)


def training_groups(
    images: Sequence[SourceImage], fraction: float, seed: int, validation: frozenset[str]
) -> frozenset[str]:
    """About `fraction` of the training groups of each class, at least one, determined by `seed`: groups in train that
    are not in `validation`. Those of a smaller fraction are among those of a larger one. A group of several classes is
    kept if one of them keeps it."""
    by_label: defaultdict[int, set[str]] = defaultdict(set)
    for image in images:
        if image.split == "train" and image.unit not in validation:
            by_label[image.label].add(image.unit)
    kept: set[str] = set()
    for groups in by_label.values():
        ranked = sorted(groups, key=lambda group: _rank(seed, "train", group))
        kept.update(ranked[: max(1, round(fraction * len(groups)))])
    return frozenset(kept)


def _rank(seed: int, use: str, group: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{use}\0{group}".encode()).digest()
