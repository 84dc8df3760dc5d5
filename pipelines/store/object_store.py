"""Datasets in an object store, which has no rename: files under names of their own, and the manifest put last.

A part file's name ends with its run's id, so a run overwrites nothing that a reader reads. A put of the manifest, which
is atomic, replaces the version; then the files of the older one are removed. Readers that go by the manifest see one
version or the other, or, if they opened the older one, a missing file. A plain pattern of files sees both versions from
the first upload to the removal, and files of a killed run until the next run."""

import re
from collections.abc import Mapping, Sequence
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

__all__ = ["publish", "remove_leftovers", "remove_own", "upload"]

_PART = re.compile(r"(.*)/split=\w+/part-\d{5,}" + RUN_ID.pattern + r"\.parquet")


def upload(root: Remote, run: str, cell: Cell, part: Part, file: Path) -> Part:
    """Uploads a whole part file under a name of its run. Raises StoreError."""
    named = part.model_copy(update={"path": part.path.replace(".parquet", f"-{run[:RUN_DIGITS]}.parquet")})
    target = cell.folder(root) / named.path
    with refusing_store_errors(root):
        target.fs.put_file(str(file), target.path)
    return named


def publish(root: Remote, manifests: Mapping[Cell, Manifest], lease: Lease | None) -> None:
    """Makes uploaded files visible, one manifest after the other, and removes those of the versions that they replace.
    Raises StoreError, if the lease is lost before another version is replaced."""
    with refusing_store_errors(root):
        for cell, manifest in manifests.items():
            folder = cell.folder(root)
            before = Manifest.read(folder)
            if lease:
                lease.check()
            (folder / HUGGING_FACE_NAME).write_text(hugging_face_config(manifest))
            (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1))
            kept = {part.path for part in manifest.parts}
            replaced = [part.path for part in (before.parts if before else ()) if part.path not in kept]
            _remove([folder / name for name in replaced if RUN_ID.search(name)])


def remove_own(root: Remote, run: str) -> None:
    """Removes what a run that has failed uploaded and did not publish, and nothing of a run that may have followed it.
    Raises StoreError."""
    with refusing_store_errors(root):
        _remove([root / path for path in _unnamed(root) if f"-{run[:RUN_DIGITS]}." in path])


def remove_leftovers(root: Remote, lease: Lease) -> None:
    """Removes part files that no manifest names, of killed runs. Called before the holder of the lease uploads any.
    Raises StoreError."""
    with refusing_store_errors(root):
        leftovers = _unnamed(root)
        lease.check()
        _remove([root / path for path in leftovers])


def _unnamed(root: Remote) -> list[str]:
    """The part files of runs that no manifest names. Those beside a manifest that cannot be read, perhaps of another
    version of this project, are not among them."""
    there = below(root)
    found = [match for path in there if (match := _PART.fullmatch(path))]
    unnamed: list[str] = []
    for folder in {match[1] for match in found}:
        manifest = Manifest.read(root / folder)
        if manifest or f"{folder}/{MANIFEST_NAME}" not in there:
            named = {f"{folder}/{part.path}" for part in (manifest.parts if manifest else ())}
            unnamed += [match[0] for match in found if match[1] == folder and match[0] not in named]
    return unnamed


def _remove(files: Sequence[Remote]) -> None:
    if files:
        files[0].fs.rm([file.path for file in files])
