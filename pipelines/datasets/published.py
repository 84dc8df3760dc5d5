"""Where publishers offer their data sets, as data: the download job does the fetching."""

from typing import NamedTuple

__all__ = ["Archive", "Published"]


class Archive(NamedTuple):
    """A file of a data set as its publisher offers it. If `packed`, it is a zip or tar.gz, whose members, without a
    leading `strip_prefix`, go under `folder` of the data set; any other file is put there as it is."""

    name: str
    md5: str
    size_bytes: int
    folder: str = "."
    packed: bool = False
    strip_prefix: str = ""


class Published(NamedTuple):
    """Each archive is at base_url + its name; `optional` ones are fetched on request only, and are not packed."""

    base_url: str
    archives: tuple[Archive, ...]
    optional: tuple[Archive, ...] = ()
