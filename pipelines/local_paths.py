"""Paths as users write them: ~ for the home folder, file:// URLs, and other URLs, which are not local."""

import os.path
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["expand_home", "read_path", "scheme_of"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
"""At least two letters. Hadoop accepts hdfs:/x for hdfs://host/x, and users write file:/x."""


def expand_home(text: str) -> str:
    """`text` with a leading ~ or ~user replaced by the home folder. Raises ValueError."""
    expanded = os.path.expanduser(text)  # noqa: PTH111 - Path would change the text
    if text.startswith("~") and expanded == text:
        raise ValueError(f"there is no home folder {text.partition('/')[0]}; for a folder of that name write ./{text}")
    return expanded


def scheme_of(text: str) -> str:
    """The scheme of a URL in lower case, or "" for a path."""
    scheme = _SCHEME.match(text)
    return scheme[1].lower() if scheme else ""


def read_path(given: object) -> Path:
    """The local file or folder that a text or path names. Raises ValueError, which says what to use instead."""
    if not isinstance(given, str | Path):
        raise ValueError("must be a path")
    text = str(given)
    if not text:
        raise ValueError("is empty; use a path, or . for the working folder")
    if "\0" in text:
        raise ValueError("contains a NUL character, which is not allowed in paths")
    scheme = _SCHEME.match(text)
    if scheme is None:
        return Path(expand_home(text))
    if scheme[1].lower() != "file":
        raise ValueError(f"{scheme[1]}: is not supported yet; use a local folder, or ./{text} for one of that name")
    url = urlsplit(text)
    if url.netloc not in ("", "localhost"):
        raise ValueError(f"is a file of the host {url.netloc}; a local one is written file:///path")
    if url.query or url.fragment:
        raise ValueError("has a ? or # that is not written as %3F or %23; use the path itself, without file:")
    return Path(unquote(url.path, errors="surrogateescape"))
