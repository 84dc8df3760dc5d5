"""Small columns of a variant, read beside the stream of its images."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipelines.errors import StreamError
from training.streams.manifests import AGAIN
from training.streams.open_split import OpenSplit, RowGroup
from training.streams.parquet_pieces import ParquetDatasetPiece

__all__ = ["read_columns", "read_groups"]


def read_columns(source: OpenSplit, variant: str, names: Sequence[str]) -> pa.Table:
    """The columns `names` of all rows of the split, in order of the images' ids. Raises StreamError."""
    row_groups = source.variants[variant].row_groups
    table = pa.concat_tables([_read(source, group, ["image_id", *names]) for group in row_groups])
    order = np.argsort(np.array(table["image_id"].to_pylist()))  # the order of NumPy, as the predictions have it
    return table.take(order).select(list(names))


def read_groups(source: OpenSplit, variant: str) -> np.ndarray[tuple[int], np.dtype[np.str_]] | None:
    """The group of each image (N,), in order of the images' ids; None if the card says that those of the split are
    unknown. Raises StreamError."""
    if source.split in source.card.unknown_groups:
        return None
    return np.array(read_columns(source, variant, ["group"])["group"].to_pylist(), np.str_)


def _read(source: OpenSplit, group: RowGroup, names: Sequence[str]) -> pa.Table:
    try:
        return ParquetDatasetPiece(group.path, source.opener, group.number).read(list(names))
    except (OSError, pa.ArrowException) as error:
        raise StreamError(f"{group.path}, row group {group.number}: cannot be read ({error}); {AGAIN}") from error
