"""Where raw images and datasets are: a folder of this machine, or one of an object store, by its URL.

Path and UPath (universal-pathlib) have the same methods, so most code need not know which of them it has. Credentials
and addresses come from the environment, as for any program of that store; none are in a Place."""

import posixpath
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, cast

from upath import UPath

from pipelines.errors import RoadsignError, StoreError
from pipelines.local_paths import read_path, scheme_of
from pipelines.range_file import RangeFile

__all__ = [
    "Place", "Remote", "absolute_name", "below", "full_name", "is_remote", "open_to_read", "read_place", "read_remote",
    "refusing_store_errors", "stamps",
]  # fmt: skip

Remote = UPath
Place = Path | UPath
S3 = ("s3", "s3a", "s3n")
"""The scheme, and Hadoop's names of it. The lock of object_lease.py is tested on no other store."""


def read_place(given: object) -> Place:
    """The folder that a text or path names: local as in read_path, or a UPath. Raises ValueError, which says what to
    use instead."""
    scheme = scheme_of(str(given))
    if scheme not in S3:
        return read_path(given)
    try:
        import_module("s3fs")
    except ImportError:
        raise ValueError(f"{scheme}: needs the package s3fs; install it: uv sync --extra s3") from None
    rest = str(given).partition(":")[2].strip("/")
    if not rest.partition("/")[2]:
        raise ValueError(f"names no folder inside the bucket; use {scheme}://{rest or 'bucket'}/folder")
    return UPath(f"s3://{rest}", use_listings_cache=False)  # other programs write there too


def read_remote(url: str) -> Remote:
    """The file or folder of an object store that a URL names. Raises ValueError."""
    place = read_place(url)
    assert isinstance(place, Remote), url
    return place


def is_remote(name: str) -> bool:
    """Whether a file's name is a URL of an object store."""
    return scheme_of(name) in S3


def absolute_name(name: str) -> str:
    """A file's name as it holds on another machine, whose working folder is another one; URLs are so already."""
    return name if name.startswith("/") or is_remote(name) else str(Path(name).absolute())


def stamps(names: Iterable[str]) -> dict[str, str]:
    """Of files in an object store: size and ETag by name, which change whenever the file does; "missing" without a
    file. One listing of the folder that has all of them. Raises StoreError."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    above = posixpath.commonpath([posixpath.dirname(name.partition("://")[2]) for name in wanted])
    folder = read_remote(f"s3://{above}")
    with refusing_store_errors(folder):
        found = folder.fs.find(folder.path, detail=True)
    listed = {f"s3://{path}": f"{info['size']} {info['ETag']}" for path, info in found.items()}
    return {name: listed.get(name, "missing") for name in wanted}


def below(folder: Place) -> dict[str, int]:
    """The sizes in bytes of all files in a folder and its sub-folders, by their paths relative to it; none if it does
    not exist. An object whose name ends with / stands for a folder, as consoles of object stores make them, and is
    none of them."""
    if isinstance(folder, Path):
        files = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    found = {path: info for path, info in folder.fs.find(folder.path, detail=True).items() if not path.endswith("/")}
    return {path.removeprefix(folder.path).strip("/"): int(info["size"]) for path, info in found.items()}


def full_name(root: Place, path: str) -> str:
    """A path of `root`'s file system as read_place takes it on another machine, whose working folder is another one."""
    return str(Path(path).absolute()) if isinstance(root, Path) else str(root.fs.unstrip_protocol(path))


def open_to_read(path: Place) -> IO[bytes]:
    """A file for random access."""
    return path.open("rb") if isinstance(path, Path) else cast(IO[bytes], RangeFile(path.fs, path.path))


@contextmanager
def refusing_store_errors(place: Place) -> Iterator[None]:
    """For a remote place: every error becomes a StoreError that names it. The file systems have errors of their own;
    s3fs raises botocore's where no server answers or credentials are missing."""
    try:
        yield
    except RoadsignError:
        raise
    except Exception as error:
        if isinstance(place, Path):
            raise
        raise StoreError(f"{place}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    what = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return f"there is no such bucket or file ({what}); check its name, or create it"
    if isinstance(error, PermissionError) or "redentials" in what:
        return f"access is denied ({what}); check the credentials in the environment, and what they permit"
    return f"cannot be read or written ({what}); check the address and the network, then run the same command again"
