"""Opens the variants of a dataset for reading, and refuses any that do not match their manifest."""

import math
import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast, get_args

import pyarrow as pa
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from pipelines.datasets.card import DatasetCard
from pipelines.errors import StreamError
from pipelines.store.contents import Recount
from pipelines.store.schema import (
    ATTACKED,
    RUN_ID,
    SPLITS,
    Cell,
    Manifest,
    Split,
    parquet_schema,
)
from training.streams.manifests import AGAIN, ATTACKING_JOB, JOB, read_manifest
from training.streams.missing import refuse_missing
from training.streams.parquet_pieces import Opener, ParquetDatasetPiece
from training.streams.variant_names import find_cell

__all__ = ["OpenSplit", "OpenVariant", "RowGroup", "open_split"]

PIXEL_BYTES = {"uint8": 1, "float32": 4}
SAME_IN_ALL_VARIANTS = (
    "dataset", "card_digest", "source_digest", "geometry", "size_px", "seed", "splits", "validation_fraction",
    "train_fraction", "images_per_part", "images_per_row_group",
)  # fmt: skip
"""Keys of the manifests' fingerprints that determine which image is row i of a part."""


class RowGroup(NamedTuple):
    path: str
    number: int
    rows: int


@dataclass(frozen=True)
class OpenVariant:
    """One variant's folder, its manifest, the row groups of one split in order of their files, and its columns' Arrow
    types by name."""

    folder: str
    manifest: Manifest
    pixel_dtype: str
    columns: dict[str, str]
    row_groups: tuple[RowGroup, ...]


@dataclass(frozen=True)
class OpenSplit:
    """One split, or some splits together, of several variants whose row groups hold the same images in the same
    order."""

    opener: Opener
    splits: tuple[Split, ...]
    size_px: int
    pixel_dtype: str
    variants: Mapping[str, OpenVariant]

    @property
    def split(self) -> str:
        """Its name; of several, the names with a + between them."""
        return "+".join(self.splits)

    def counts_per_class(self, variant: str) -> dict[int, int]:
        """The number of images of each label that has some."""
        counts = Counter[int]()
        for split in self.splits:
            counts.update(self.variants[variant].manifest.counts_per_class[split])
        return dict(counts)

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of each row group, the same in all variants."""
        return tuple(group.rows for group in next(iter(self.variants.values())).row_groups)

    @property
    def card(self) -> DatasetCard:
        """The card of the data set, the same in all variants."""
        return next(iter(self.variants.values())).manifest.card

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(size_px, size_px, channels)."""
        return self.size_px, self.size_px, self.card.channels

    @property
    def image_bytes(self) -> int:
        return math.prod(self.image_shape) * PIXEL_BYTES[self.pixel_dtype]


def open_split(
    root: str, geometry: str, size_px: int, variants: Sequence[str], split: str | Sequence[str], verify: bool = False
) -> OpenSplit:
    """`split`, or several splits as one, of the variants under `root`, a folder or an fsspec URL; names as in
    variant_names. `verify` reads everything once and compares it with the manifests. Raises StreamError, which says
    what to do."""
    splits = cast(tuple[Split, ...], (split,) if isinstance(split, str) else tuple(split))
    if unknown := [name for name in splits if name not in get_args(Split)]:
        raise StreamError(f"split {unknown[0]!r}: there is no such split; there are {', '.join(SPLITS)}")
    try:
        filesystem, path = url_to_fs(root)
        filesystem.invalidate_cache()  # files may have been rewritten since they were listed
        opener = Opener(filesystem)
        cells = {name: find_cell(filesystem, path, geometry, size_px, name) for name in variants}
        for cell in cells.values():
            if not filesystem.isdir(posixpath.join(path, cell.folder(Path()).as_posix())):
                refuse_missing(filesystem, root, path, cell)
        opened = {name: _open_variant(opener, path, cell, splits) for name, cell in cells.items()}
    except StreamError:
        raise
    except Exception as error:  # file systems have errors of their own
        raise StreamError(f"{root}: cannot be opened: {error}") from error
    _check_alignment(opened, splits)
    if verify:
        _verify(opener, opened, splits)
    return OpenSplit(opener, splits, size_px, next(iter(opened.values())).pixel_dtype, opened)


def _open_variant(opener: Opener, root: str, cell: Cell, splits: Sequence[Split]) -> OpenVariant:
    folder = posixpath.join(root, cell.folder(Path()).as_posix())
    manifest = read_manifest(opener, folder)
    _check_files(opener, folder, manifest)
    for split in splits:
        _check_has_images(folder, manifest, split)
    dtypes, row_groups = set(), []
    columns: dict[str, str] = {}
    for part in manifest.parts:
        if part.split in splits:
            path = posixpath.join(folder, part.path)
            pixel_dtype, columns = _check_schema(opener, path, cell, manifest.card.channels)
            dtypes.add(pixel_dtype)
            footer = opener.footer(path)
            if footer.num_rows != part.rows:
                raise StreamError(f"{path}: {footer.num_rows} rows, but the manifest says {part.rows}; {AGAIN}")
            groups = (footer.row_group(index).num_rows for index in range(footer.num_row_groups))
            row_groups += [RowGroup(path, index, rows) for index, rows in enumerate(groups) if rows]
    found, expected = sum(group.rows for group in row_groups), sum(manifest.counts[split] for split in splits)
    if found != expected:
        raise StreamError(
            f"{folder}: {found} rows in split {'+'.join(splits)}, but the manifest says {expected}; {AGAIN}"
        )
    if len(dtypes) > 1:
        raise StreamError(f"{folder}: files of {' and '.join(sorted(dtypes))} pixels; {AGAIN}")
    return OpenVariant(folder, manifest, dtypes.pop(), columns, tuple(row_groups))


def _check_has_images(folder: str, manifest: Manifest, split: Split) -> None:
    if not manifest.counts.get(split):
        there = ", ".join(name for name, count in manifest.counts.items() if count) or "none"
        remedy = f"make the dataset with it: {JOB}"
        if split in (manifest.fingerprint.get("splits") or ()):  # it was requested already; null for generated images
            remedy = (
                "make the dataset of more images; validation needs a validation_fraction above 0 and classes with two "
                f"groups (tracks of GTSRB) or more: {JOB} validation_fraction=0.2"
            )
        raise StreamError(
            f"{folder}: split {split} has no images; splits with images: {there}; choose one of these, or {remedy}"
        )


def _check_files(opener: Opener, folder: str, manifest: Manifest) -> None:
    found = {path: info["size"] for path, info in opener.filesystem.find(folder, detail=True).items()}
    for path in found:
        if posixpath.basename(path) == "_common_metadata":
            raise StreamError(f"{path}: petastorm would unpickle this file, which can run code; remove it")
    for part in manifest.parts:
        size = found.pop(posixpath.join(folder, part.path), None)
        if size != part.bytes:
            got = "is missing" if size is None else f"has {size} bytes"
            raise StreamError(f"{folder}/{part.path}: {got}, but the manifest says {part.bytes} bytes; {AGAIN}")
    remote = not isinstance(opener.filesystem, LocalFileSystem)
    others = [path for path in sorted(found) if _is_seen(path, folder) and not (remote and RUN_ID.search(path))]
    if others:
        raise StreamError(f"{others[0]}: not in the folder's manifest, but other readers would read it; remove it")


def _is_seen(path: str, folder: str) -> bool:
    """Whether readers of Parquet see the file: they ignore names that begin with an underscore or a dot."""
    return not any(name.startswith(("_", ".")) for name in posixpath.relpath(path, folder).split("/"))


def _check_schema(opener: Opener, path: str, cell: Cell, channels: int) -> tuple[str, dict[str, str]]:
    """The dtype of the pixels, and the columns' types by name."""
    try:
        schema = opener.footer(path).schema.to_arrow_schema()
    except (OSError, pa.ArrowException) as error:
        raise StreamError(f"{path}: not readable as Parquet ({error}); {AGAIN}") from None
    pixel_dtype = str((schema.metadata or {}).get(b"pixel_dtype", b"").decode(errors="replace"))
    expected = cell.schema(channels) if cell.attacked else parquet_schema(cell.size_px, channels, pixel_dtype)
    if pixel_dtype not in PIXEL_BYTES or not schema.equals(expected, check_metadata=True):
        raise StreamError(
            f"{path}: its schema does not match the contract for {cell.size_px} px, {channels} channels and uint8 or "
            f"float32 pixels; it is:\n"
            f"{schema}\n{AGAIN}"
        )
    return pixel_dtype, {field.name: str(field.type) for field in schema}


def _check_alignment(variants: Mapping[str, OpenVariant], splits: Sequence[Split]) -> None:
    (first_name, first), *others = variants.items()
    for name, other in others:
        facts = {
            key: (first.manifest.fingerprint.get(key), other.manifest.fingerprint.get(key))
            for key in SAME_IN_ALL_VARIANTS
        }
        number, own = (sum(one.manifest.counts[split] for split in splits) for one in (first, other))
        facts["counts"] = number, own
        facts["row groups"] = (_layout(first), _layout(other))
        if first.pixel_dtype != other.pixel_dtype:
            raise StreamError(
                f"{name} and {first_name} cannot be mixed: their pixel_dtype differs ({other.pixel_dtype} and "
                f"{first.pixel_dtype}); a stream holds either adversarial images or images of 256 grey levels, not both"
            )
        remedy = f"make both in one run: {JOB} 'variants=[{first_name},{name}]'"
        if ATTACKED in other.manifest.fingerprint:
            remedy = f"make both with the same splits and data.images: {ATTACKING_JOB}"
        for fact, (expected, got) in facts.items():
            if expected != got:
                raise StreamError(
                    f"{name} and {first_name} cannot be mixed: their {fact} differ ({got} and {expected}); {remedy}"
                )


def _layout(variant: OpenVariant) -> list[tuple[str, int, int]]:
    """Without the ids of the runs that wrote the files."""
    return [
        (RUN_ID.sub("", group.path.removeprefix(variant.folder)), group.number, group.rows)
        for group in variant.row_groups
    ]


def _verify(opener: Opener, variants: Mapping[str, OpenVariant], splits: Sequence[Split]) -> None:
    orders = {name: _recounted(opener, variant, splits) for name, variant in variants.items()}
    first_name, first = next(iter(orders.items()), ("", []))
    for name, order in orders.items():
        if order != first:
            raise StreamError(
                f"{name} and {first_name} cannot be mixed: their rows are in another order; {JOB} makes both"
            )


def _recounted(opener: Opener, variant: OpenVariant, splits: Sequence[Split]) -> list[tuple[str, int]]:
    """(image_id, label) of the rows of the splits in a variant, after checking the rows of all splits against its
    manifest."""
    recount = Recount(variant.manifest)
    rows: list[tuple[str, int]] = []
    where = variant.folder
    try:
        for part in variant.manifest.parts:
            where = posixpath.join(variant.folder, part.path)
            for index in range(opener.footer(where).num_row_groups):
                table = ParquetDatasetPiece(where, opener, index).read(opener.footer(where).schema.names)
                recount.add(part.split, table)
                if part.split in splits:
                    rows += zip(table["image_id"].to_pylist(), table["label"].to_pylist(), strict=True)
        where = variant.folder
        recount.check()
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise StreamError(f"{where}: {error}; {AGAIN}") from None
    return rows
