"""Row groups through Petastorm's reader and workers, in the requested order, with a check of their number."""

from collections.abc import Collection, Generator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.errors import StreamError
from pipelines.store.contents import check_rows, pixels_of
from training.streams.manifests import AGAIN
from training.streams.open_split import OpenSplit, RowGroup
from training.streams.order import Integers, Slot
from training.streams.parquet_pieces import Opener
from training.streams.petastorm_bridge import (
    ArrowReaderWorker,
    EmptyResultError,
    GuardedDummyPool,
    GuardedThreadPool,
    Reader,
)  # fmt: skip

__all__ = ["Pool", "Rows", "read_row_groups"]

Pool = Literal["thread", "dummy"]
COLUMNS = ("image_id", "label", "image")


class Rows(NamedTuple):
    """N rows; `images` is (N, size_px, size_px, 3). If they are of one row group, `images` is read-only and shares
    Arrow's memory."""

    image_ids: NDArray[np.object_]
    labels: Integers
    images: NDArray[np.uint8] | NDArray[np.float32]

    def at(self, index: Integers | NDArray[np.bool_] | slice) -> "Rows":
        return Rows(self.image_ids[index], self.labels[index], self.images[index])


class TableResults:
    """Passes on what the workers publish: (index of the row group in the reader, its table or an error)."""

    batched_output = True

    def read_next(self, workers_pool: Any, schema: object, ngram: object) -> Any:
        try:
            return workers_pool.get_results()
        except EmptyResultError:
            raise StopIteration from None


class TableWorker(ArrowReaderWorker):  # type: ignore[misc]
    """Reads a row group into an Arrow table without conversion; Petastorm's own worker converts to pandas."""

    @staticmethod
    def new_results_queue_reader() -> TableResults:
        return TableResults()

    def process(self, piece_index: int, worker_predicate: object, shuffle_row_drop_partition: object) -> None:
        try:
            result = self._split_pieces[piece_index].read(COLUMNS)
        except (OSError, pa.ArrowException) as error:
            result = error  # the pool would write a traceback to stderr and may lose other results
        self.publish_func((piece_index, result))


class OrderedReader(Reader):  # type: ignore[misc]
    """A reader whose workers get exactly these row groups, in this order, `ahead` of them in advance."""

    def __init__(self, opener: Opener, row_groups: Sequence[RowGroup], pool: object, ahead: int) -> None:
        self.indexes: list[int] = []
        """Petastorm's index of each row group."""
        self._row_groups = row_groups
        self._ahead = ahead
        super().__init__(
            opener,
            sorted({group.path for group in row_groups}),
            schema_fields=list(COLUMNS),
            shuffle_row_groups=False,
            reader_pool=pool,
            worker_class=TableWorker,
            is_batched_reader=True,
        )

    def _filter_row_groups(self, dataset: object, row_groups: Sequence[Any], *others: object) -> tuple[list[int], None]:
        index_of = {(piece.path, piece.row_group): index for index, piece in enumerate(row_groups)}
        self.indexes = [index_of[group.path, group.number] for group in self._row_groups]
        return self.indexes, None

    def _create_ventilator(self, *arguments: Any) -> Any:
        *others, in_flight, seed = arguments
        return super()._create_ventilator(*others, max(in_flight, self._ahead), seed)


def read_row_groups(
    source: OpenSplit, slots: Sequence[Slot], pool: Pool, workers: int, ahead: int
) -> Generator[Rows, None, None]:
    """The row groups in the order of `slots`, whatever order the workers finish in.

    Raises StreamError unless each comes exactly once, with as many rows as the footer of its file says."""
    groups = [source.variants[slot.variant].row_groups[slot.row_group] for slot in slots]
    classes = {name: source.counts_per_class(name) for name in source.variants}
    if not groups:
        return
    workers_pool = GuardedThreadPool(workers, 2 * ahead) if pool == "thread" else GuardedDummyPool()
    with OrderedReader(source.opener, groups, workers_pool, ahead) as reader:
        early: dict[int, Any] = {}
        awaited = set(reader.indexes)
        for index, group, slot in zip(reader.indexes, groups, slots, strict=True):
            while index not in early:
                came, result = next(reader, (None, None))
                if came is None:
                    raise _miscount(group, 0)
                if came not in awaited:
                    raise _miscount(groups[reader.indexes.index(came)], "more")
                awaited.remove(came)
                early[came] = result
            yield _rows(early.pop(index), group, source, classes[slot.variant])
        for came, _ in reader:
            raise _miscount(groups[reader.indexes.index(came)], "more")


def _miscount(group: RowGroup, got: int | str) -> StreamError:
    return StreamError(
        f"{group.path}: row group {group.number} should give {group.rows} rows in this epoch, got {got}; if the files "
        "are changing, wait until the job that writes them has ended; otherwise this is a bug in the reader"
    )


def _rows(result: pa.Table | Exception, group: RowGroup, source: OpenSplit, classes: Collection[int]) -> Rows:
    where = f"{group.path}, row group {group.number}"
    if isinstance(result, Exception):
        raise StreamError(f"{where}: cannot be read ({result}); {AGAIN}") from result
    if len(result) != group.rows:
        raise _miscount(group, len(result))
    try:
        ids, labels = result["image_id"].to_numpy(), result["label"].to_numpy().astype(np.int64)
        pixels = pixels_of(result["image"], source.image_bytes).view(source.pixel_dtype)
        check_rows(ids, labels, pixels, classes)
    except ValueError as error:
        raise StreamError(f"{where}: {error}; {AGAIN}") from None
    return Rows(ids, labels, pixels.reshape(len(result), *source.image_shape))
