"""Chooses the groups of images that become the test set of a source without one."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from pipelines.errors import SourceError

__all__ = ["groups_across_splits", "test_groups"]


def test_groups(images: Sequence[tuple[str, str]], fraction: float, seed: int) -> frozenset[str]:
    """About `fraction` of the groups of each class, given (class, group) of each image. A group that spans classes is
    kept together.

    Groups are chosen in the order of a hash of `seed` and their names, so that adding an image moves few others. Raises
    SourceError if a class would have no group in train or none in test."""
    by_class: defaultdict[str, set[str]] = defaultdict(set)
    for class_name, group in images:
        by_class[class_name].add(group)
    chosen: set[str] = set()
    for groups in by_class.values():
        wanted = min(max(1, round(fraction * len(groups))), len(groups) - 1)
        chosen.update(sorted(groups, key=lambda group: _rank(seed, group))[:wanted])
    for class_name, groups in by_class.items():
        if not groups & chosen or groups <= chosen:
            side = "test" if groups & chosen else "train"
            raise SourceError(
                f"class {class_name}: all of its {len(groups)} groups are in {side} and none in the other split; add "
                "images of other objects, choose another dataset.split_seed, or create the folders train and test"
            )
    return frozenset(chosen)


def groups_across_splits(images: Iterable[tuple[str, str]]) -> list[str]:
    """The groups with images in more than one split, given (group, split) of each image."""
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for group, split in images:
        splits[group].add(split)
    return sorted(group for group, found in splits.items() if len(found) > 1)


def _rank(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}\0test\0{group}".encode()).digest()
