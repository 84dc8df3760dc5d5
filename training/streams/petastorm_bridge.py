"""Makes petastorm 0.12.1 run on current versions of pyarrow and NumPy. The only importer of petastorm, which must not
be imported before this module.

Why: petastorm 0.12.1 was written for pyarrow ≤ 14 and NumPy 1 (uber/petastorm #805, #806); 0.13 loses rows silently and
pins an old setuptools. Missing names are added to petastorm's own modules, never to pyarrow or NumPy:

* stubs of `pyarrow.filesystem`, `pyarrow.hdfs` and `distutils.version`, present only while petastorm is imported;
* a `pq` with the ParquetDataset and ParquetDatasetPiece that pyarrow has dropped, an `np` with the names NumPy dropped;
* pools that do not lose the last row group of an epoch (see `GuardedThreadPool`).

Columns, predicates, shuffling, shards and epochs are as petastorm documents them. Two things are safer:
`_common_metadata` is never read, so never unpickled; `filters=`, which would be ignored silently, is an error.
Not supported: make_reader (petastorm's own format), HDFS, caches on disk; the process pool has no guard.
"""

import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from training.streams.parquet_pieces import ParquetDataset, ParquetDatasetPiece

__all__ = [
    "ArrowReaderWorker", "EmptyResultError", "GuardedDummyPool", "GuardedThreadPool", "Reader", "make_batch_reader",
]  # fmt: skip


class _NoLongerThere:
    """Replaces a class that petastorm imports and that is not used here."""

    def __init__(self, *arguments: object) -> None:
        raise NotImplementedError("pass an fsspec file system; pyarrow's old file systems, and HDFS, are not supported")


@contextmanager
def _stand_ins() -> Iterator[None]:
    names = {
        "pyarrow.filesystem": "LocalFileSystem",
        "pyarrow.hdfs": "HadoopFileSystem",
        "distutils.version": "LooseVersion",
    }
    before = {name: sys.modules[name] for name in names if name in sys.modules}
    for name, missing in names.items():
        stand_in = ModuleType(name)
        setattr(stand_in, missing, type(missing, (_NoLongerThere,), {}))
        sys.modules[name] = stand_in
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(before)


with _stand_ins():
    import petastorm.arrow_reader_worker
    import petastorm.etl.dataset_metadata
    import petastorm.reader
    import petastorm.unischema
    from petastorm.arrow_reader_worker import ArrowReaderWorker
    from petastorm.reader import Reader, make_batch_reader
    from petastorm.workers_pool import EmptyResultError
    from petastorm.workers_pool.dummy_pool import DummyPool
    from petastorm.workers_pool.thread_pool import ThreadPool


class GuardedThreadPool(ThreadPool):  # type: ignore[misc]
    """Petastorm's pool first asks whether all items that were handed out are done, then whether all were handed out. A
    row group that is handed out in between is silently lost. Here the first question is asked again after the second
    one."""

    def __init__(self, workers_count: int, results_queue_size: int = 50, profiling_enabled: bool = False) -> None:
        state = random.getstate()  # petastorm needlessly draws from the global generator
        super().__init__(workers_count, results_queue_size, profiling_enabled)
        random.setstate(state)

    def get_results(self) -> Any:
        while True:
            try:
                return super().get_results()
            except EmptyResultError:
                if self._results_queue.empty() and self._ventilated_items == self._ventilated_items_processed:
                    raise


class GuardedDummyPool(DummyPool):  # type: ignore[misc]
    """The same race in the pool without threads: it may lose the last row group, or wait forever for one more. Here
    completion is read before the queue is checked, and again while waiting."""

    def get_results(self) -> Any:
        while not self._results_queue:
            completed = self._ventilator.completed()
            if self._ventilator_queue:
                arguments, keywords = self._ventilator_queue.pop(0)
                self._worker.process(*arguments, **keywords)
                self._ventilator.processed_item()
            elif completed:
                raise EmptyResultError
            else:
                time.sleep(0.0005)
        return self._results_queue.pop(0)


class _Extended:
    """A module with some names overridden; the module itself is not changed."""

    def __init__(self, module: ModuleType, **names: object) -> None:
        self._module = module
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _hand_over() -> None:
    parquet = _Extended(pq, ParquetDataset=ParquetDataset, ParquetDatasetPiece=ParquetDatasetPiece)
    numpy = _Extended(np, unicode_=np.str_, string_=np.bytes_)
    names: dict[ModuleType, dict[str, Any]] = {
        petastorm.reader: {"pq": parquet, "ThreadPool": GuardedThreadPool, "DummyPool": GuardedDummyPool},
        petastorm.arrow_reader_worker: {"pq": parquet, "np": numpy},
        petastorm.etl.dataset_metadata: {"pq": parquet},
        petastorm.unischema: {"np": numpy},
    }
    for module, replaced in names.items():
        for name, value in replaced.items():
            setattr(module, name, value)


_hand_over()
