"""Names of variants that may exist for several attacked networks: fgsm-snr33, or fgsm-snr33/attacked=0f3a5c7e9b1d."""

import posixpath
from collections.abc import Iterable
from pathlib import Path

from fsspec import AbstractFileSystem

from pipelines.errors import StreamError
from pipelines.store.schema import ATTACKED, Cell

__all__ = ["find_cell", "names_meant", "names_of", "without_network"]

SEPARATOR = f"/{ATTACKED}="


def attacked_networks(filesystem: AbstractFileSystem, root: str, cell: Cell) -> list[str]:
    """The digests (as long as in the folder names) of the networks that have a dataset of this variant."""
    names = _inside(filesystem, root, cell)
    return sorted(name.removeprefix(f"{ATTACKED}=") for name in names if name.startswith(f"{ATTACKED}="))


def _inside(filesystem: AbstractFileSystem, root: str, cell: Cell) -> list[str]:
    folder = posixpath.join(root, cell.folder(Path()).as_posix())
    paths = filesystem.ls(folder, detail=False) if filesystem.isdir(folder) else []
    return [posixpath.basename(path.rstrip("/")) for path in paths]


def names_of(filesystem: AbstractFileSystem, root: str, cell: Cell) -> list[str]:
    """The names of a variant's datasets: one for each attacked network, or the name of the variant itself. An empty
    folder, which a killed run may leave, has none."""
    networks = attacked_networks(filesystem, root, cell)
    if not networks and not _inside(filesystem, root, cell):
        return []
    return [cell.variant + SEPARATOR + network for network in networks] or [cell.variant]


def names_meant(name: str, names: Iterable[str]) -> list[str]:
    """The members of `names` that a user may mean by `name`: those of all attacked networks if it names none."""
    beginning = name if SEPARATOR in name else name + SEPARATOR
    return [one for one in names if one == name or one.startswith(beginning)]


def without_network(name: str) -> str:
    """The name of the variant without the network."""
    return name.partition(SEPARATOR)[0]


def find_cell(filesystem: AbstractFileSystem, root: str, geometry: str, size_px: int, name: str) -> Cell:
    """The dataset that `name` means; a digest may be abbreviated. Raises StreamError if the name is ambiguous."""
    variant, separator, digest = name.partition(SEPARATOR)
    cell = Cell(geometry, size_px, variant)
    networks = attacked_networks(filesystem, root, cell)
    chosen = [network for network in networks if network.startswith(digest[: len(network)])]
    if not networks and not separator:
        return cell
    if len(chosen) != 1:
        what = "no such attacked network" if separator and not chosen else "several networks were attacked"
        there = ", ".join(variant + SEPARATOR + network for network in networks) or "none"
        raise StreamError(f"{name}: {what} at {geometry}, {size_px} px; name one of: {there}")
    return cell._replace(attacked=chosen[0])
