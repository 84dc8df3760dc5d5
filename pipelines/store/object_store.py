"""Datasets in an object store, which has no rename: files under names of their own, and the manifest put last.

A part file's name ends with its run's id, so a run overwrites nothing that a reader reads. A put of the manifest, which
is atomic, replaces the version; then the files of the older one are removed. Readers that go by the manifest see one
version or the other, or, if they opened the older one, a missing file. A plain pattern of files sees both versions from
the first upload to the removal, and files of a killed run until the next run."""

import re
from collections.abc import Mapping
from pathlib import Path

from pipelines.places import Remote, below, refusing_store_errors
from pipelines.store.object_lease import Lease
from pipelines.store.schema import (
    HUGGING_FACE_NAME,
    MANIFEST_NAME,
    RUN_DIGITS,
    RUN_ID,
    Cell,
    Manifest,
    Part,
    hugging_face_config,
)

__all__ = ["publish", "remove_leftovers", "upload"]

_PART = re.compile(r"(.*)/split=\w+/part-\d{5,}" + RUN_ID.pattern + r"\.parquet")


def upload(root: Remote, run: str, cell: Cell, part: Part, file: Path) -> Part:
    """Uploads a whole part file under a name of its run. Raises StoreError."""
    named = part.model_copy(update={"path": part.path.replace(".parquet", f"-{run[:RUN_DIGITS]}.parquet")})
    target = cell.folder(root) / named.path
    with refusing_store_errors(root):
        target.fs.put_file(str(file), target.path)
    return named


def publish(root: Remote, manifests: Mapping[Cell, Manifest], lease: Lease | None) -> None:
    """Makes uploaded files visible, one manifest after the other, and removes those of older versions. Raises
    StoreError."""
    with refusing_store_errors(root):
        for cell, manifest in manifests.items():
            folder = cell.folder(root)
            if lease:
                lease.check()
            (folder / HUGGING_FACE_NAME).write_text(hugging_face_config(manifest))
            (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1))
    remove_leftovers(root)


def remove_leftovers(root: Remote) -> None:
    """Removes part files that no manifest names: of older versions and of killed runs. Raises StoreError."""
    with refusing_store_errors(root):
        found = [match for path in below(root) if (match := _PART.fullmatch(path))]
        named: set[str] = set()
        for folder in {match[1] for match in found}:
            manifest = Manifest.read(root / folder)
            named |= {f"{folder}/{part.path}" for part in (manifest.parts if manifest else ())}
        leftovers = [(root / match[0]).path for match in found if match[0] not in named]
        if leftovers:
            root.fs.rm(leftovers)
