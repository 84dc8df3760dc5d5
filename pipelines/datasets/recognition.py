"""Which source a folder belongs to, by looking."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pipelines.datasets.contract import ImageSource
from pipelines.errors import SourceError

__all__ = ["Recognised", "recognise"]

FALLBACK = "image_folder"
"""Almost any folder of images looks like one, so it is taken only where no other source knows the folder."""
MOST_NAMES = 8


class Recognised(NamedTuple):
    """A source's kind, and what it saw."""

    kind: str
    saw: str


def recognise(root: Path, sources: Mapping[str, type[ImageSource]]) -> Recognised:
    """The one source that knows the folder. Raises SourceError, with what is there, where none or several do."""
    try:
        claims = [Recognised(kind, saw) for kind, source in sources.items() if (saw := source.recognise(root))]
    except OSError as error:
        raise SourceError(f"{error.filename}: {error.strerror}; make it readable, or set dataset.root") from None
    if len(claims) > 1:
        claims = [claim for claim in claims if claim.kind != FALLBACK]
    if len(claims) == 1:
        return claims[0]
    if not root.is_dir():
        raise SourceError(f"{root}: there is no such folder; check dataset.root")
    known = ", ".join(sources)
    if claims:
        seen = "; ".join(f"{kind} ({saw})" for kind, saw in claims)
        raise SourceError(f"{root}: looks like {seen}; set dataset.kind to one of them")
    raise SourceError(f"{root}: {_contents(root)}, which none of {known} recognizes; set dataset.kind and dataset.root")


def _contents(root: Path) -> str:
    try:
        entries = sorted(root.iterdir())
    except OSError as error:
        return f"cannot be listed ({error.strerror})"
    folders = [entry.name for entry in entries if entry.is_dir()]
    files = [entry.name for entry in entries if not entry.is_dir()]
    return f"holds {_names(folders, 'folder')} and {_names(files, 'file')}"


def _names(names: list[str], noun: str) -> str:
    if not names:
        return f"no {noun}s"
    shown = ", ".join(names[:MOST_NAMES]) + (", …" if len(names) > MOST_NAMES else "")
    return f"{len(names):,} {noun}{'s' if len(names) > 1 else ''} ({shown})"
