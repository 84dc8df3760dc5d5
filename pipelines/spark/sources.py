"""Prepares a source: opens and checks every image once, finds duplicates, and assigns splits and parts."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pyspark.sql import DataFrame, SparkSession

from pipelines.datasets import ImageSource, Listing, Rejected, SourceImage
from pipelines.datasets.splits import Duplicates, find_duplicates, training_groups, validation_groups
from pipelines.errors import SourceError, StoreError
from pipelines.places import Place, absolute_name, refusing_store_errors
from pipelines.render.noisy_datasets import NoisyDatasets
from pipelines.spark.frames import ReaderFactory, partition_by_part, rows_frame, with_pixel_digest
from pipelines.store.schema import MANIFEST_NAME, SPLITS, Manifest, Split
from pipelines.store.writer import is_current

__all__ = [
    "PlacedImage",
    "Source",
    "arranged",
    "is_unchanged",
    "parts_frame",
    "prepare_source",
    "refuse_other_dataset",
    "refuse_unusable",
]

PATTERN = f"geometry=*/size_px=*/variant=*/{MANIFEST_NAME}"


class PlacedImage(NamedTuple):
    """An image and its destination: its split, its part file (numbered over all splits) and its position in the
    part."""

    image_id: str
    label: int
    split: Split
    part: int
    part_in_split: int
    position: int
    group: str
    archive: str
    path: str
    index: int | None  # type: ignore[assignment]  # hides tuple.index, which is not used
    roi_x1: int | None
    roi_y1: int | None
    roi_x2: int | None
    roi_y2: int | None


class Source(NamedTuple):
    """A prepared source. `digest` covers the ids, labels, splits, groups, regions and pixels of all usable images, so
    it is the same for every layout."""

    listing: Listing
    readers: ReaderFactory
    digest: str
    usable: int
    left_out: int
    """The training images that train_fraction leaves out."""
    placed: list[PlacedImage]
    rejected: list[Rejected]
    duplicates: Duplicates
    lost_classes: list[str]
    """The splits and labels whose images are all unusable."""

    @property
    def counts(self) -> dict[Split, int]:
        return dict(Counter(image.split for image in self.placed))

    @property
    def groups_per_class(self) -> dict[Split, dict[int, int]]:
        """A group whose images are of several classes counts in each of them."""
        groups = sorted({(image.split, image.label, image.group) for image in self.placed})
        counted = Counter((split, label) for split, label, _ in groups)
        return {
            split: {label: count for (own, label), count in counted.items() if own == split} for split in self.counts
        }

    def sentence(self) -> str:
        """A summary for the console."""
        counts = ", ".join(f"{split} {count:,}" for split, count in self.counts.items())
        across = sum(map(len, self.duplicates.across_splits))
        left_out = f", {self.left_out:,} left out by train_fraction" if self.left_out else ""
        return (
            f"{self.listing.found}: {len(self.placed):,} images ({counts}), {len(self.rejected)} rejected{left_out}; "
            f"{self.duplicates.groups} groups of pixel-identical images, {across} images in groups that span splits"
        )

    def summary(self) -> dict[str, Any]:
        """The facts about the source that go into a manifest."""
        return {
            "found": self.listing.found,
            "digest": self.digest,
            "state": self.listing.state(),
            "rejected": len(self.rejected),
            "left_out": self.left_out,
            "duplicate_groups": self.duplicates.groups,
            "duplicate_images": self.duplicates.images,
            "duplicates_across_splits": self.duplicates.across_splits,
            "remarks": self.listing.remarks,
            "kind": self.readers.source.kind,
            "root": absolute_name(str(self.readers.source.root)),
        }


def prepare_source(spark: SparkSession, listing: Listing, settings: NoisyDatasets) -> Source:
    """Opens every listed image on the executors, and assigns a place to each usable one."""
    images = [_with_absolute_path(image) for image in listing.images]
    readers = ReaderFactory(settings.dataset, listing.card.channels)
    digests, reasons = _scanned(with_pixel_digest(rows_frame(spark, SourceImage, images), readers), images)
    return arranged(listing, images, digests, reasons, settings)


def arranged(
    listing: Listing, images: Sequence[SourceImage], digests: Mapping[str, bytes], reasons: Mapping[str, str],
    settings: NoisyDatasets,
) -> Source:  # fmt: skip
    """Finds duplicates and assigns a place to each image that has a digest; the others have reasons."""
    readers = ReaderFactory(settings.dataset, listing.card.channels)
    usable = sorted((image for image in images if image.image_id in digests), key=lambda image: image.image_id)
    unreadable = [
        Rejected(str(image.location), reasons[image.image_id]) for image in listing.images if image.image_id in reasons
    ]
    duplicates = find_duplicates(usable, digests)
    validation = validation_groups(usable, settings.validation_fraction, settings.seed, never=duplicates.shared)
    training = training_groups(usable, settings.train_fraction, settings.seed, validation)
    kept = training | validation
    chosen = [image for image in usable if image.split != "train" or image.unit in kept]
    placed = _place(chosen, validation, settings)
    digest = _source_digest(usable, digests)
    lost = {(image.split, image.label) for image in listing.images} - {(image.split, image.label) for image in usable}
    lost_classes = [f"{split} {label}" for split, label in sorted(lost)]
    return Source(
        listing, readers, digest, len(usable), len(usable) - len(chosen), placed, listing.rejected + unreadable,
        duplicates, lost_classes,
    )  # fmt: skip


def _scanned(frame: DataFrame, images: Sequence[SourceImage]) -> tuple[dict[str, bytes], dict[str, str]]:
    """By image_id: the digests of the readable images, and why the others are unreadable."""
    digests = dict.fromkeys((image.image_id for image in images), b"")  # keys of the listing: a million ids, once
    reasons = {}
    for batch in frame.toArrow().to_batches(max_chunksize=10_000):
        for image_id, digest, reason in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if reason is None:
                digests[image_id] = bytes.fromhex(digest)
            else:
                reasons[image_id] = reason
                del digests[image_id]
    assert all(digests.values()), "an image was neither read nor rejected"
    return digests, reasons


def is_unchanged(listing: Listing, settings: NoisyDatasets) -> bool:
    """Whether all variants exist and are up to date, judged without opening an image: their manifests were written for
    files with the same names, sizes and modification times."""
    root = settings.dataset_folder
    state = listing.state()
    for cell in settings.cells:
        manifest = Manifest.read(cell.folder(root))
        if manifest is None or manifest.source.get("state") != state:
            return False
        if not is_current(
            cell.folder(root), settings.fingerprint(cell, manifest.source["digest"], listing.card), settings.verify
        ):
            return False
    return True


def refuse_other_dataset(root: Place, source: ImageSource, listing: Listing) -> None:
    """Raises StoreError if `root` contains a different data set with the same name."""
    with refusing_store_errors(root):
        folders: list[Place] = [path.parent for path in root.glob(PATTERN)]
    for folder in folders:
        manifest = Manifest.read(folder)
        if manifest is None or "kind" not in manifest.source:
            continue
        about = manifest.source
        moved = about["root"] != absolute_name(str(source.root))
        if about["kind"] != source.kind or (moved and manifest.card.class_names != listing.card.class_names):
            raise StoreError(
                f"{root}: contains {about['kind']} {manifest.card.name} from {about['root']}, a different data set "
                f"from {source.kind} in {source.root}; set dataset.name or output_root"
            )
        return


def refuse_unusable(source: Source, max_rejected_fraction: float, table: Place) -> None:
    """Raises SourceError if too many inputs are rejected, or no image of a class or split is usable. `table` is the
    file that lists all rejected inputs."""
    inputs = len(source.rejected) + source.usable
    if len(source.rejected) > max_rejected_fraction * inputs:
        first = source.rejected[0]
        raise SourceError(
            f"{source.listing.found}: {len(source.rejected)} of {inputs} inputs are unusable, more than "
            f"max_rejected_fraction={max_rejected_fraction}; the first is {first.source}: {first.reason}; "
            f"all are listed in {table}"
        )
    if source.lost_classes:
        raise SourceError(
            f"{source.listing.found}: no usable image of class {', '.join(source.lost_classes)}; the reasons are "
            f"in {table}"
        )
    if not source.placed:
        raise SourceError(f"{source.listing.found}: no image in the requested splits")


def parts_frame(spark: SparkSession, source: Source, partitions: int | None) -> DataFrame:
    """The source's images for writer.write_datasets, in `partitions` partitions, by default one per part."""
    return partition_by_part(rows_frame(spark, PlacedImage, source.placed), partitions or 1 + source.placed[-1].part)


def _with_absolute_path(image: SourceImage) -> SourceImage:
    """The image with an absolute path, since the executors of a cluster run in other folders."""
    if image.archive:
        archive = absolute_name(image.archive)
        return image if archive == image.archive else image._replace(archive=archive)
    path = absolute_name(image.path)
    return image if path == image.path else image._replace(path=path)


def _source_digest(images: Sequence[SourceImage], digests: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for image in images:
        roi = (image.roi_x1, image.roi_y1, image.roi_x2, image.roi_y2)
        row = (image.image_id, image.label, image.split, image.group, roi, digests[image.image_id].hex())
        digest.update(f"{row}\n".encode())
    return digest.hexdigest()


def _place(images: Sequence[SourceImage], validation: frozenset[str], settings: NoisyDatasets) -> list[PlacedImage]:
    """Shuffles the images by a hash of their id, so that each row group is a random sample of classes and groups, and
    cuts them into parts of settings.images_per_part: the files depend only on the data."""
    by_split: defaultdict[Split, list[SourceImage]] = defaultdict(list)
    for image in sorted(images, key=lambda image: hashlib.sha256(image.image_id.encode()).digest()):
        in_validation = image.split == "train" and image.unit in validation
        by_split["validation" if in_validation else image.split].append(image)
    placed: list[PlacedImage] = []
    first_part = 0
    for split in SPLITS:
        if split not in settings.splits:
            continue
        for row, image in enumerate(by_split[split]):
            part, position = divmod(row, settings.images_per_part)
            roi = (image.roi_x1, image.roi_y1, image.roi_x2, image.roi_y2)
            where = (split, first_part + part, part, position)
            placed.append(PlacedImage(image.image_id, image.label, *where, image.unit, *image.location, *roi))
        first_part = placed[-1].part + 1 if placed else 0
    return placed
