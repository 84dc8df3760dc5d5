"""Recognizes the source of a folder by its files."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, cast

from pipelines.datasets.contract import ImageSource
from pipelines.datasets.files import unpack_hint
from pipelines.errors import SourceError
from pipelines.places import Place, refusing_store_errors

__all__ = ["Recognized", "recognize"]

FALLBACK = "image_folder"
"""Almost any folder of images matches it, so it is chosen only if no other source recognizes the folder."""
MAX_NAMES = 8


class Recognized(NamedTuple):
    """The kind of the source, and what it found in the folder."""

    kind: str
    evidence: str


def recognize(root: Place, sources: Mapping[str, type[ImageSource]]) -> Recognized:
    """The source that recognizes the folder. Raises SourceError, which lists the contents of the folder, if no source
    or several sources recognize it, and StoreError for an object store that does not answer."""
    if not isinstance(root, Path):
        sources = {kind: source for kind, source in sources.items() if source.in_object_stores}
    try:
        with refusing_store_errors(root):
            return _recognized(root, sources)
    except OSError as error:
        raise SourceError(f"{error.filename}: {error.strerror}; change its permissions, or set dataset.root") from None


def _recognized(root: Place, sources: Mapping[str, type[ImageSource]]) -> Recognized:
    local = cast(Path, root)  # sources that do not read object stores are not asked about them
    claims = [Recognized(kind, evidence) for kind, source in sources.items() if (evidence := source.recognize(local))]
    if len(claims) > 1:
        claims = [claim for claim in claims if claim.kind != FALLBACK]
    if len(claims) == 1:
        return claims[0]
    if not root.is_dir():
        raise SourceError(f"{root}: no such folder; check dataset.root")
    known = ", ".join(sources)
    if claims:
        seen = "; ".join(f"{kind} ({evidence})" for kind, evidence in claims)
        raise SourceError(f"{root}: looks like {seen}; set dataset.kind to one of them")
    raise SourceError(
        f"{root}: {_contents(root)}, which none of {known} recognizes; set dataset.kind and dataset.root"
        f"{unpack_hint(root)}"
    )


def _contents(root: Place) -> str:
    try:
        entries: list[Place] = sorted(root.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        return f"cannot be listed ({error.strerror})"
    folders = [entry.name for entry in entries if entry.is_dir()]
    files = [entry.name for entry in entries if not entry.is_dir()]
    return f"contains {_names(folders, 'folder')} and {_names(files, 'file')}"


def _names(names: list[str], noun: str) -> str:
    if not names:
        return f"no {noun}s"
    shown = ", ".join(names[:MAX_NAMES]) + (", …" if len(names) > MAX_NAMES else "")
    return f"{len(names):,} {noun}{'s' if len(names) > 1 else ''} ({shown})"
