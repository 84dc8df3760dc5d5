"""The data card of a report: how many objects of which class, size and brightness, from where, and what leaks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.card import NOT_STATED
from pipelines.store.schema import CLEAN, SPLITS, Manifest, Split
from training.evaluation.classifiers.predicting import Predictions
from training.evaluation.report.conditions import Bins, brightness_bins, measure_conditions, side_bins
from training.evaluation.report.contract import Block, Cell, Grid, Prose, Section, table
from training.evaluation.report.matrix import named_levels
from training.evaluation.report.subjects import Subject
from training.streams.stream import Data, open_stream

__all__ = ["data_section", "leak_blocks"]

FEW = 3
DIGITS = 12
MAX_LISTED = 20


def data_section(data: Data, split: Split, subject: Subject) -> Section:
    """Of the images that `subject` was shown. Raises StreamError and EvaluationError."""
    found = subject.found[CLEAN if CLEAN in subject.found else next(iter(subject.found))][0]
    variant = found.variant
    stream = open_stream(data.model_copy(update={"mixture": {variant: 1.0}}), split, seed=0, batch_size=1)
    manifest = stream.source.variants[variant].manifest
    conditions = measure_conditions(data, split, variant, found.image_ids)
    blocks: list[Block] = [
        Prose(_origin(manifest)),
        _by_class(manifest, split, found),
        _by_condition(found, side_bins(conditions), brightness_bins(conditions), split, variant),
        *leak_blocks(manifest.source, split),
        _digests(subject, manifest, split),
    ]
    return Section("data", "What data is this?", blocks)


def leak_blocks(source: Mapping[str, Any], split: Split) -> list[Block]:
    """What the making of the dataset found of pixel-identical images, by `source` of its manifest."""
    if "duplicates_across_splits" not in source:
        return [Prose(["Whether splits share pixel-identical images is not recorded; make the dataset again to know."])]
    across: Sequence[Sequence[str]] = source["duplicates_across_splits"]
    images, groups = sum(map(len, across)), source["duplicate_groups"]
    said = (
        f"Independence: the source has {groups} group{'' if groups == 1 else 's'} of pixel-identical images; "
        f"{len(across)} of them, {images} images, are in several splits. Images of one object that differ in a pixel "
        "are not found so."
    )
    if not across:
        return [Prose([said])]
    rows = [
        [Cell(", ".join(names)), Cell("yes", tone="bad") if _of_split(names, split) else Cell("no")]
        for names in across[:MAX_LISTED]
    ]
    data = [{"images": ", ".join(names), "evaluated": str(_of_split(names, split)).lower()} for names in across]
    more = f", the first {MAX_LISTED} of {len(across)}" if len(across) > MAX_LISTED else ""
    caption = f"Pixel-identical images in several splits{more}"
    return [
        Prose([said]),
        Grid("duplicates", caption, ["images", f"one is in {split}"], rows, table(data, (), {"images", "evaluated"})),
    ]


def _of_split(names: Sequence[str], split: Split) -> bool:
    return any(name.startswith(f"{split}/") for name in names)


def _origin(manifest: Manifest) -> list[str]:
    card = manifest.card
    classes = (
        f"{card.name}: {card.num_classes} classes; images with {card.channels} channels. What counts as one object: "
    )
    licence = (
        "The publisher states no licence." if card.licence == NOT_STATED else f"Licence: {card.licence.rstrip('.')}."
    )
    return [f"{classes}{card.group.rstrip('.')}.", f"{licence} Cite: {card.citation.rstrip('.')}."]


def _by_class(manifest: Manifest, split: Split, found: Predictions) -> Grid:
    """Objects and images of each class in each split; `found` knows the objects of `split`, also recovered ones."""
    splits = [one for one in SPLITS if manifest.counts.get(one)]
    images = {one: manifest.counts_per_class[one] for one in splits}
    groups = {one: _recorded_groups(manifest, one) for one in splits}
    groups[split] = _evaluated_groups(found, manifest.card.num_classes)
    rows, data = [], []
    for label, name in enumerate(manifest.card.class_names):
        cells = [_cell(_of(groups[one], label), images[one].get(label, 0)) for one in splits]
        rows.append([Cell(f"{label} {name}"), *cells])
        data += [
            {"label": label, "class": name, "split": one, "images": images[one].get(label, 0),
             "groups": _of(groups[one], label)}
            for one in splits
        ]  # fmt: skip
    totals = [_cell(_sum(groups[one]), manifest.counts[one]) for one in splits]
    few = _few(groups[split])
    caption = "Objects of each class by split; below, their images." + (
        f" {few} classes have fewer than {FEW} objects in {split}: what is said of these classes alone says little."
        if few
        else ""
    )
    return Grid(
        "objects_by_class", caption, ["class", *splits], [*rows, [Cell("all"), *totals]],
        table(data, {"label", "images", "groups"}, {"class", "split"}),
    )  # fmt: skip


def _recorded_groups(manifest: Manifest, split: Split) -> Mapping[int, int] | None:
    if manifest.groups_per_class is None or split in manifest.card.unknown_groups:
        return None
    return manifest.groups_per_class.get(split, {})


def _evaluated_groups(found: Predictions, classes: int) -> Mapping[int, int] | None:
    counts = _objects(found, found.labels, classes)
    return None if counts is None else dict(enumerate(counts.tolist()))


def _objects(found: Predictions, numbers: NDArray[np.int64], width: int) -> NDArray[np.int64] | None:
    """(width,): how many objects have an image of each number; None if it is unknown which images show one object."""
    if found.units.unit in ("unknown", "estimated"):
        return None
    if found.units.codes is None:
        return np.bincount(numbers, minlength=width)
    there: NDArray[np.int64] = (found.units.counts(numbers, width) > 0).sum(axis=0)
    return there


def _of(groups: Mapping[int, int] | None, label: int) -> int | None:
    return None if groups is None else groups.get(label, 0)


def _sum(groups: Mapping[int, int] | None) -> int | None:
    return None if groups is None else sum(groups.values())


def _few(groups: Mapping[int, int] | None) -> int:
    return 0 if groups is None else sum(0 < count < FEW for count in groups.values())


def _cell(groups: int | None, images: int) -> Cell:
    if not images:
        return Cell("none", tone="bad")
    return Cell("unknown" if groups is None else f"{groups:,}", f"{images:,} image{'' if images == 1 else 's'}")


def _by_condition(found: Predictions, sides: Bins, brightness: Bins, split: Split, variant: str) -> Grid:
    """A column for each size × brightness. An object whose frames differ counts in each of its columns."""
    names = [", ".join(filter(None, (one, other))) for one in brightness.names for other in sides.names]
    columns = brightness.numbers * len(sides.names) + sides.numbers
    classes = found.class_names
    numbers = found.labels * len(names) + columns
    images = np.bincount(numbers, minlength=len(classes) * len(names)).reshape(len(classes), len(names))
    flat = _objects(found, numbers, len(classes) * len(names))
    objects = None if flat is None else flat.reshape(images.shape)
    total, all_images = _objects(found, columns, len(names)), images.sum(axis=0)
    rows = [
        [Cell(f"{label} {name}"), *(_cell(_at(objects, label, place), int(images[label, place]))
                                    for place in range(len(names)))]
        for label, name in enumerate(classes)
    ]  # fmt: skip
    rows.append(
        [
            Cell("all"),
            *(_cell(None if total is None else int(total[n]), int(all_images[n])) for n in range(len(names))),
        ]
    )
    data = [
        {"label": label, "class": name, "condition": condition, "images": int(images[label, place]),
         "groups": _at(objects, label, place)}
        for label, name in enumerate(classes) for place, condition in enumerate(names)
    ]  # fmt: skip
    by_size = (
        "; by the side of the photograph inside the padding"
        if len(sides.names) > 1
        else "; how large they were is not stored with this geometry"
    )
    caption = (
        f"Objects of {split} by mean brightness of their images (0 – 255, {variant}){by_size}. One that was "
        "photographed under several conditions counts in each."
    )
    return Grid(
        "objects_by_condition", caption, ["class", *names], rows,
        table(data, {"label", "images", "groups"}, {"class", "condition"}),
    )  # fmt: skip


def _at(objects: NDArray[np.int64] | None, label: int, place: int) -> int | None:
    return None if objects is None else int(objects[label, place])


def _digests(subject: Subject, manifest: Manifest, split: Split) -> Grid:
    source = str(manifest.fingerprint.get("source_digest", "not recorded"))
    code = manifest.made_by.get("code", "not recorded")
    named = set(named_levels([subject]))
    rows = [
        [Cell(variant), Cell(found[0].dataset_digest[:DIGITS]), Cell(f"{len(found[0].labels):,}")]
        for variant, found in subject.found.items()
        if variant in named
    ]
    data = [
        {"variant": variant, "content_digest": found[0].dataset_digest, "source_digest": source, "code": code,
         "images": len(found[0].labels)}
        for variant, found in subject.found.items()
    ]  # fmt: skip
    caption = (
        f"What was shown, {split}: the content digest of each variant, over ids, labels and pixels of all its splits. "
        f"Made from a source of digest {source[:DIGITS]} by version {code} of this program."
    )
    texts = {"variant", "content_digest", "source_digest", "code"}
    return Grid("digests", caption, ["variant", "content digest", "images"], rows, table(data, {"images"}, texts))
