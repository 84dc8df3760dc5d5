"""Recovers the tracks of a test split, and measures how well that goes on training tracks whose ids are hidden."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PlainSerializer, PlainValidator

from pipelines.datasets import DATASETS, ImageSource, Listing, SourceImage
from pipelines.errors import SourceError
from pipelines.settings import LocalPath, Settings, choose, describe
from pipelines.store.recovered_groups import Agreement
from pipelines.tracks.agreement import agreement
from pipelines.tracks.likeness import Likeness
from pipelines.tracks.paths import equal_paths
from pipelines.tracks.views import Views

__all__ = ["Measured", "RecoverTracks", "learn", "measure", "recover", "source_digest"]


def _dataset(given: object) -> ImageSource:
    return given if isinstance(given, ImageSource) else choose(DATASETS, given)


class RecoverTracks(Settings):
    """`frames` of each sign. Of the training tracks, `folds` parts are recovered in turn, by what is learned from the
    others; `seed` deals them. Below `at_least` pairwise precision or recall nothing is written."""

    dataset: Annotated[ImageSource, PlainValidator(_dataset), PlainSerializer(describe)]
    output: LocalPath
    frames: int = Field(ge=2)
    folds: int = Field(ge=2)
    seed: int = Field(ge=0)
    at_least: float = Field(ge=0.95, le=1)

    def chosen(self, listing: Listing) -> tuple[list[SourceImage], list[SourceImage]]:
        """Training images on tracks, and test images. Raises SourceError where these are no tracks of `frames`."""
        training = [image for image in listing.images if image.split == "train" and image.group]
        test = sorted((image for image in listing.images if image.split == "test"), key=lambda image: image.image_id)
        if not training or not test:
            raise SourceError(
                f"{listing.found}: {len(training):,} training images on tracks and {len(test):,} test images; tracks "
                "are learned from the former and recovered for the latter, so both are needed"
            )
        if known := next((image for image in test if image.group), None):
            raise SourceError(f"{listing.found}: the group of {known.image_id} is known; there is nothing to recover")
        for label, count in sorted(Counter(image.label for image in test).items()):
            if count % self.frames:
                raise SourceError(
                    f"{listing.found}: class {label} ({listing.card.class_names[label]}) has {count} test images, not "
                    f"a multiple of the {self.frames} frames of a track; the copy is incomplete: download it again"
                )
        return training, test


class Measured(NamedTuple):
    """`overall` is None where nothing could be measured, for the reason in `why`; `by_class` is by label."""

    overall: Agreement | None
    why: str
    by_class: dict[int, Agreement]
    left_out: str

    def sentences(self) -> Iterable[str]:
        """For the console."""
        if self.overall is None:
            yield f"not measured: {self.why}"
            return
        m = self.overall
        yield (
            f"measured on {m.groups:,} training tracks with hidden ids, none of which was learned from: pairwise "
            f"precision {m.precision:.4f}, recall {m.recall:.4f}, purity {m.purity:.4f}, {m.exact:,} tracks exact"
        )
        if self.left_out:
            yield self.left_out
        lowest = sorted(self.by_class.items(), key=lambda item: (item[1].precision, item[0]))[:8]
        yield "lowest precision by class: " + ", ".join(f"{label} {found.precision:.3f}" for label, found in lowest)


def measure(settings: RecoverTracks, views: Views) -> Measured:
    """Cross-fitted: each track is recovered by what was learned from other tracks, among as many tracks of its class as
    its fold has."""
    counts = Counter(image.unit for image in views.images)
    odd = sum(count != settings.frames for count in counts.values())
    left_out = f"{odd} training tracks do not have {settings.frames} frames; they are not measured on" if odd else ""
    folds = _folds(views.images, settings.folds, settings.seed)
    known: list[str] = []
    found: list[str] = []
    labels: list[int] = []
    for fold in range(settings.folds):
        whole = np.array([counts[image.unit] == settings.frames for image in views.images])
        held, learned = np.flatnonzero((folds == fold) & whole), np.flatnonzero(folds != fold)
        if not len(held) or not len(learned):
            continue
        hidden = views.of(held)
        names = recover(settings, hidden, learn(views.of(learned)))
        alone = _alone(hidden.images)
        kept = [row for row, image in enumerate(hidden.images) if image.label not in alone]
        known += [hidden.images[row].unit for row in kept]
        found += [f"{fold}/{names[row]}" for row in kept]
        labels += [hidden.images[row].label for row in kept]
    if not known:
        return Measured(None, f"no class has two whole tracks in one of {settings.folds} parts", {}, left_out)
    rows: defaultdict[int, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        rows[label].append(row)
    by_class = {
        label: agreement([found[row] for row in own], [known[row] for row in own]) for label, own in rows.items()
    }
    return Measured(agreement(found, known), "", by_class, left_out)


def recover(settings: RecoverTracks, views: Views, likeness: Likeness) -> list[str]:
    """The group of each image: recovered/<label>/<number>, numbered within a class by their first image."""
    described = likeness.describe(views)
    names = [""] * len(views.images)
    for label in np.unique(views.labels):
        rows = np.flatnonzero(views.labels == label)
        rows = rows[np.lexsort((rows, views.log_size[rows]))]
        paths = equal_paths(likeness.links(described[rows], views.log_size[rows]), settings.frames)
        tracks = sorted((sorted(views.images[row].image_id for row in rows[path]), path) for path in paths)
        for number, (_, path) in enumerate(tracks):
            for row in rows[path]:
                names[row] = f"recovered/{label:05d}/{number:03d}"
    return names


def learn(views: Views) -> Likeness:
    """From images whose tracks are known."""
    tracks = np.unique([image.unit for image in views.images], return_inverse=True)[1]
    return Likeness.fit(views, tracks)


def source_digest(views: Views) -> str:
    """SHA-256 of ids, labels, regions and pixels, in order of image_id: the same for every layout."""
    digest = hashlib.sha256()
    for image, pixels in sorted(zip(views.images, views.digests, strict=True), key=lambda pair: pair[0].image_id):
        region = (image.roi_x1, image.roi_y1, image.roi_x2, image.roi_y2)
        digest.update(f"{(image.image_id, image.label, region, pixels)}\n".encode())
    return digest.hexdigest()


def _folds(images: Sequence[SourceImage], folds: int, seed: int) -> NDArray[np.intp]:
    """The part of each image; the tracks of each class are dealt evenly, from a part of their own on."""
    rng = np.random.default_rng(seed)
    tracks: defaultdict[int, set[str]] = defaultdict(set)
    for image in images:
        tracks[image.label].add(image.unit)
    parts: dict[str, int] = {}
    for label in sorted(tracks):
        first = int(rng.integers(folds))
        for number, track in enumerate(rng.permutation(sorted(tracks[label]))):
            parts[str(track)] = (first + number) % folds
    return np.array([parts[image.unit] for image in images])


def _alone(images: Sequence[SourceImage]) -> set[int]:
    """Labels with one track only, which cannot be mistaken."""
    tracks = {(image.label, image.unit) for image in images}
    return {label for label, count in Counter(label for label, _ in tracks).items() if count == 1}
