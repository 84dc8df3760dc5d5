"""What is said where a dataset is missing: whether it is the folder, the geometry, the size or the variant, what there
is instead, and the command that makes it (remedies.py)."""

import difflib
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from fsspec import AbstractFileSystem

from pipelines.commands import home
from pipelines.datasets import DATASETS
from pipelines.errors import StreamError
from pipelines.store.schema import Cell
from training.streams.manifests import JOB
from training.streams.remedies import making

__all__ = ["names_inside", "refuse_missing", "refuse_no_dataset"]

_NAMED = 10
_LEVEL = re.compile(r"(geometry|size_px|variant|split)=")


def refuse_missing(filesystem: AbstractFileSystem, root: str, path: str, cell: Cell) -> NoReturn:
    """`root` is as the user wrote it, `path` the same for the file system. Raises StreamError."""
    refuse_no_dataset(filesystem, root, path)
    folder = posixpath.join(path, cell.folder(Path()).as_posix())
    of_size = posixpath.dirname(folder)
    of_geometry = posixpath.dirname(of_size)
    variants = _values(filesystem, of_size, "variant")
    there = f"variants there: {_some(variants) or 'none'}"
    if not variants and (sizes := _values(filesystem, of_geometry, "size_px")):
        there += f"; sizes at {cell.geometry}: {', '.join(sizes)} px"
    elif not variants:
        there += f"; geometries there: {', '.join(_values(filesystem, path, 'geometry'))}"
    raise StreamError(f"{folder}: no such dataset ({there}); {making(filesystem, root, path, cell, variants)}")


def refuse_no_dataset(filesystem: AbstractFileSystem, root: str, path: str) -> None:
    """Raises StreamError unless `path` is the folder of a dataset."""
    if not filesystem.isdir(path):
        _refuse_no_folder(filesystem, root, path)
    if _is_dataset(filesystem, path):
        return
    parts = root.rstrip("/").split("/")
    if levels := [number for number, part in enumerate(parts) if _LEVEL.match(part)]:
        outer = "/".join(parts[: levels[0]]) or "."
        raise StreamError(f"{root}: is inside of a dataset; give its folder: data.root={outer}")
    if inner := _datasets(filesystem, path):
        raise StreamError(
            f"{root}: holds the datasets {', '.join(inner)}; give one: data.root={root.rstrip('/')}/{inner[0]}"
        )
    raise StreamError(
        f"{root}: not a dataset, since it has no folder geometry=…; it holds: "
        f"{_some(names_inside(filesystem, path)) or 'nothing'}; if these are raw images, make a dataset of them: "
        f"{JOB} dataset.root={root}"
    )


def names_inside(filesystem: AbstractFileSystem, folder: str) -> list[str]:
    paths = filesystem.ls(folder, detail=False) if filesystem.isdir(folder) else []
    return sorted(posixpath.basename(path.rstrip("/")) for path in paths)


def _refuse_no_folder(filesystem: AbstractFileSystem, root: str, path: str) -> NoReturn:
    if "://" not in root and len(Path(root).parts) > 1 and not Path(Path(root).parts[0]).is_dir():
        _refuse_this_working_directory(root)
    own, parent = posixpath.basename(path.rstrip("/")), posixpath.dirname(path.rstrip("/"))
    outer = posixpath.dirname(root.rstrip("/")) or "."
    beside = _datasets(filesystem, parent)
    if close := difflib.get_close_matches(own, beside, n=1):
        remedy = f"did you mean data.root={posixpath.join(outer, close[0])}?"
    elif own in DATASETS:
        remedy = f"make it: {JOB} dataset.kind={own}"
    else:
        remedy = f"make it: {JOB} dataset.root=<folder of the raw images>"
    raise StreamError(f"{root}: no such dataset; the datasets in {outer} are: {', '.join(beside) or 'none'}; {remedy}")


def _refuse_this_working_directory(root: str) -> NoReturn:
    first = Path(root).parts[0]
    seen = sorted(path.name for path in Path.cwd().iterdir() if not path.name.startswith("."))
    there = f"it holds {_some(seen)}" if seen else "it is empty"
    known = home() / root
    remedy = (
        f"the dataset is in {home()}: start there, or give data.root={known}"
        if known.is_dir()
        else f"start in the folder that has {first}, or give the whole path, data.root=/…/{root}; if there is no "
        f"dataset yet, make it: {JOB}"
    )
    raise StreamError(f"{root}: the current folder {Path.cwd()} has no folder {first} ({there}); {remedy}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _is_dataset(filesystem: AbstractFileSystem, folder: str) -> bool:
    return any(name.startswith("geometry=") for name in names_inside(filesystem, folder))


def _datasets(filesystem: AbstractFileSystem, folder: str) -> list[str]:
    return [name for name in names_inside(filesystem, folder) if _is_dataset(filesystem, posixpath.join(folder, name))]


def _values(filesystem: AbstractFileSystem, folder: str, key: str) -> list[str]:
    """The values of folders key=value; numbers in their order."""
    names = names_inside(filesystem, folder)
    values = [name.removeprefix(f"{key}=") for name in names if name.startswith(f"{key}=")]
    return sorted(values, key=int) if all(map(str.isdecimal, values)) else values
