"""The addresses and archives of published data sets, for the download job."""

from typing import NamedTuple

__all__ = ["Archive", "Published"]


class Archive(NamedTuple):
    """A file offered by a data set's publisher. If `packed`, it is a zip or tar.gz whose members are unpacked, with
    `strip_prefix` removed from their names, to `folder` in the data set; any other file is put there unchanged."""

    name: str
    md5: str
    size_bytes: int
    folder: str = "."
    packed: bool = False
    strip_prefix: str = ""


class Published(NamedTuple):
    """Archives at base_url + name; the `optional` ones are downloaded only on request and are not packed."""

    base_url: str
    archives: tuple[Archive, ...]
    optional: tuple[Archive, ...] = ()
