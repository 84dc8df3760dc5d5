"""The first links: the raw images, and the variants that a run was trained on, compared with what is stored now."""

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from fsspec.core import url_to_fs

from pipelines.errors import StreamError
from pipelines.store.schema import Manifest
from training.lineage.links import Link
from training.streams.manifests import read_manifest
from training.streams.parquet_pieces import Opener
from training.tracking import RecordedRun, UsedVariant

__all__ = ["data_links"]

FIRST_LEVEL = "geometry="
BESIDE = "beside/"
"""Before the variant's name in a checkpoint: of the other data set that a classifier was trained on."""


def data_links(run: RecordedRun | None, about: Mapping[str, Any], root: str | None) -> Iterator[Link]:
    """`about` is that of the checkpoint; `root` the dataset's folder or URL if it is not where the run read it."""
    if run is None or not run.datasets:
        yield Link("source", "the digest of the raw images is recorded with the run alone", "missing")
        for name, digest in about.get("datasets", {}).items():
            yield Link("variant", f"{name}: {digest}, by the checkpoint")
        if not about.get("datasets"):
            yield Link("variant", "the checkpoint does not say what it was trained on", "missing")
        return
    yield from _sources(run)
    for used in run.datasets:
        yield _variant(used, about, root)


def _sources(run: RecordedRun) -> Iterator[Link]:
    sources = sorted({used.source_digest for used in run.datasets})
    for digest in sources:
        yield Link("source", digest) if digest else Link("source", "its digest was not recorded", "missing")


def _variant(used: UsedVariant, about: Mapping[str, Any], root: str | None) -> Link:
    said = f"{used.variant}, {used.context}: {used.digest}"
    known = {name: digest for name, digest in about.get("datasets", {}).items() if name.endswith(used.variant)}
    of_checkpoint = [known[name] for name in (used.variant, f"{BESIDE}{used.variant}") if name in known]
    if used.context == "train" and of_checkpoint and used.digest not in of_checkpoint:
        return Link("variant", f"{said}, but the checkpoint was trained on {' and '.join(of_checkpoint)}", "broken")
    is_beside = used.context == "train" and used.digest == known.get(f"{BESIDE}{used.variant}")
    folder = _folder(used, about, None if is_beside else root, "beside" if is_beside else "data")
    try:
        manifest = _manifest(folder)
    except (StreamError, ImportError, OSError, ValueError) as error:
        return Link("variant", f"{said}; it is not there any more to compare with ({error})", "missing")
    stored_source = str(manifest.fingerprint.get("source_digest", ""))
    for what, recorded, stored in (
        ("content", used.digest, manifest.content_digest),
        ("source", used.source_digest, stored_source),
    ):
        if recorded and stored != recorded:
            return Link("variant", f"{said}, but {folder} now has the {what} digest {stored or 'none'}", "broken")
    return Link("variant", f"{said}; {folder} has the same digest")


def _folder(used: UsedVariant, about: Mapping[str, Any], root: str | None, key: str) -> str:
    """A run records the path of a variant without the protocol of its file system, which data.root has, or
    beside.root."""
    recorded_root = str((about.get("settings", {}).get(key) or {}).get("root", ""))
    root = root or (recorded_root if "://" in recorded_root else None)
    if root is None or FIRST_LEVEL not in used.folder:
        return used.folder
    return posixpath.join(root, used.folder[used.folder.index(FIRST_LEVEL) :])


def _manifest(folder: str) -> Manifest:
    filesystem, path = url_to_fs(folder)
    return read_manifest(Opener(filesystem), path)
