"""Which training images become validation: whole tracks, never single frames."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipelines.datasets import SourceImage

__all__ = ["Duplicates", "find_duplicates", "validation_tracks"]


class Duplicates(NamedTuple):
    """Pixel-identical images. `across_test` holds each group that has images of both train and test."""

    groups: int
    images: int
    across_test: list[list[str]]
    tracks: frozenset[str]
    """The tracks that share an image with another track or with the test set."""


def find_duplicates(images: Sequence[SourceImage], pixel_digests: Mapping[str, bytes]) -> Duplicates:
    """Groups `images` by the digest of their pixels (by image_id)."""
    by_digest: defaultdict[bytes, list[SourceImage]] = defaultdict(list)
    for image in images:
        by_digest[pixel_digests[image.image_id]].append(image)
    groups = [group for group in by_digest.values() if len(group) > 1]
    across_test = sorted(
        sorted(image.image_id for image in group) for group in groups if len({image.split for image in group}) > 1
    )
    shared = [group for group in groups if len({image.track for image in group}) > 1]
    tracks = frozenset(image.track for group in shared for image in group if image.track)
    return Duplicates(len(groups), sum(len(group) for group in groups), across_test, tracks)


def validation_tracks(
    images: Sequence[SourceImage], fraction: float, seed: int, never: frozenset[str] = frozenset()
) -> frozenset[str]:
    """About `fraction` of each class's training tracks, fixed by `seed`, none of them in `never`.

    GTSRB's training images are tracks of 30 frames of one physical sign, so a split by image would put nearly the
    same picture on both sides. Every class with two tracks or more has at least one in validation and one in train,
    unless all are in `never`."""
    frames = Counter((image.label, image.track) for image in images if image.track)
    by_label: defaultdict[int, list[str]] = defaultdict(list)
    for label, track in frames:
        by_label[label].append(track)
    chosen: set[str] = set()
    for tracks in by_label.values():
        wanted = min(max(1, round(fraction * len(tracks))), len(tracks) - 1) if fraction > 0 else 0
        ranked = sorted(tracks, key=lambda track: hashlib.sha256(f"{seed}\0validation\0{track}".encode()).digest())
        chosen.update([track for track in ranked if track not in never][:wanted])
    return frozenset(chosen)
