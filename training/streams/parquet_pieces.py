"""Parquet datasets with the interface of pyarrow ≤ 14, which petastorm needs: pieces, partitions and footers, on any
fsspec file system."""

import threading
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from pipelines.range_file import RangeFile

__all__ = ["Opener", "ParquetDataset", "ParquetDatasetPiece", "Partitions"]


class Opener:
    """Opens files of one file system for reading and caches their footers, which petastorm needs for each row group.

    `checked` holds what was read with correct page checksums. Later reads of it do not repeat the check, which would
    cost a stream a seventh of its speed: the files of a dataset are never changed in place."""

    def __init__(self, filesystem: AbstractFileSystem) -> None:
        self.filesystem = filesystem
        self.checked: set[tuple[str, int | None, tuple[str, ...]]] = set()
        self._footers: dict[str, pq.FileMetaData] = {}
        self._lock = threading.Lock()

    def __call__(self, path: str) -> pa.NativeFile:
        if isinstance(self.filesystem, LocalFileSystem):
            return pa.OSFile(path)
        return pa.PythonFile(RangeFile(self.filesystem, path), mode="r")

    @property
    def open(self) -> "Opener":
        """Called by petastorm as `dataset.fs.open(path)`."""
        return self

    def footer(self, path: str) -> pq.FileMetaData:
        with self._lock:
            known = self._footers.get(path)
        if known is None:
            with self(path) as file:
                known = pq.read_metadata(file)
            with self._lock:
                self._footers[path] = known
        return known


class Partition:
    """One key=… level of the folders: its values, in order of first sight."""

    def __init__(self, name: str, keys: Sequence[str]) -> None:
        self.name = name
        self.keys = list(keys)
        whole = all(key.isdecimal() for key in keys)
        self.dictionary = pa.array([int(key) for key in keys] if whole else self.keys)


class Partitions(list[Partition]):
    """The partition levels of a Hive-style folder, with the interface that petastorm expects."""

    @property
    def partition_names(self) -> set[str]:
        return {partition.name for partition in self}


class ParquetDatasetPiece:
    """A Parquet file, or one row group of it."""

    def __init__(
        self,
        path: str,
        open_file_func: Opener,
        row_group: int | None = None,
        partition_keys: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.path = path
        self.row_group = row_group
        self.partition_keys = list(partition_keys)
        self._open = open_file_func

    def get_metadata(self) -> pq.FileMetaData:
        return self._open.footer(self.path)

    def read(self, columns: Collection[str], partitions: Partitions | None = None) -> pa.Table:
        """The columns in the order of the file, then one for each partition key."""
        with self._open(self.path) as source:
            what = self.path, self.row_group, tuple(sorted(columns))
            check = what not in self._open.checked
            file = pq.ParquetFile(source, metadata=self.get_metadata(), page_checksum_verification=check)
            groups = range(file.num_row_groups) if self.row_group is None else [self.row_group]
            names = [name for name in file.schema_arrow.names if name in columns]
            table = file.read_row_groups(list(groups), columns=names, use_threads=False)
            self._open.checked.add(what)
        for (name, index), partition in zip(self.partition_keys, partitions or (), strict=True):
            value = partition.dictionary[index]
            table = table.append_column(name, pa.array([value] * len(table), value.type))
        return table


class ParquetDataset:
    """A folder of Parquet files, or a list of files, with the interface that petastorm expects."""

    metadata = None
    common_metadata = None
    """Neither file is ever read: petastorm would unpickle its contents."""

    def __init__(
        self,
        path_or_paths: str | list[str],
        filesystem: AbstractFileSystem | Opener,
        validate_schema: bool = False,
        filters: object = None,
        metadata_nthreads: int = 1,
    ) -> None:
        if filters is not None:
            raise NotImplementedError("filters= would not filter rows: use a predicate")
        self.paths = path_or_paths
        self.fs = filesystem if isinstance(filesystem, Opener) else Opener(filesystem)
        if isinstance(path_or_paths, str) and self.fs.filesystem.isdir(path_or_paths):
            files = [path for path in sorted(self.fs.filesystem.find(path_or_paths)) if _is_data(path, path_or_paths)]
            levels = [_levels(path, path_or_paths) for path in files]
        else:
            files = [path_or_paths] if isinstance(path_or_paths, str) else list(path_or_paths)
            levels = [[] for _ in files]
        if not files:
            raise FileNotFoundError(f"{path_or_paths}: no Parquet files")
        if len({tuple(name for name, _ in level) for level in levels}) > 1:
            raise ValueError(f"{path_or_paths}: the files have different partition keys")
        self.partitions = _partitions(levels)
        self.pieces = [
            ParquetDatasetPiece(
                path,
                self.fs,
                partition_keys=[
                    (partition.name, partition.keys.index(key))
                    for partition, (_, key) in zip(self.partitions or (), level, strict=True)
                ],
            )
            for path, level in zip(files, levels, strict=True)
        ]


def _inside(path: str, folder: str) -> list[str]:
    return path[len(folder.rstrip("/")) :].strip("/").split("/")


def _is_data(path: str, folder: str) -> bool:
    return path.endswith(".parquet") and not any(name.startswith((".", "_")) for name in _inside(path, folder))


def _levels(path: str, folder: str) -> list[tuple[str, str]]:
    pairs = [name.partition("=") for name in _inside(path, folder)[:-1]]
    return [(key, value) for key, equals, value in pairs if equals]


def _partitions(levels: Sequence[Sequence[tuple[str, str]]]) -> Partitions | None:
    keys: dict[str, dict[str, None]] = {}
    for name, value in (pair for level in levels for pair in level):
        keys.setdefault(name, {})[value] = None
    return Partitions(Partition(name, list(values)) for name, values in keys.items()) or None
