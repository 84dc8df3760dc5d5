"""Recognizes the source of a folder by its files."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pipelines.datasets.contract import ImageSource
from pipelines.datasets.files import unpack_hint
from pipelines.errors import SourceError

__all__ = ["Recognized", "recognize"]

FALLBACK = "image_folder"
"""Almost any folder of images matches it, so it is chosen only if no other source recognizes the folder."""
MAX_NAMES = 8


class Recognized(NamedTuple):
    """The kind of the source, and what it found in the folder."""

    kind: str
    evidence: str


def recognize(root: Path, sources: Mapping[str, type[ImageSource]]) -> Recognized:
    """The source that recognizes the folder. Raises SourceError, which lists the contents of the folder, if no source
    or several sources recognize it."""
    try:
        claims = [
            Recognized(kind, evidence) for kind, source in sources.items() if (evidence := source.recognize(root))
        ]
    except OSError as error:
        raise SourceError(f"{error.filename}: {error.strerror}; change its permissions, or set dataset.root") from None
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


def _contents(root: Path) -> str:
    try:
        entries = sorted(root.iterdir())
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
