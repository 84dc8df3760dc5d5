"""Small columns of a variant, read beside the stream of its images."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipelines.datasets.gtsrb_card import GTSRB_CARD
from pipelines.errors import StreamError
from training.streams.manifests import AGAIN
from training.streams.open_split import OpenSplit, RowGroup
from training.streams.parquet_pieces import ParquetDatasetPiece

__all__ = ["read_columns", "read_groups"]


def read_columns(source: OpenSplit, variant: str, names: Sequence[str]) -> pa.Table:
    """The columns `names` of all rows of the split, in order of the images' ids. Raises StreamError."""
    row_groups = source.variants[variant].row_groups
    table = pa.concat_tables([_read(source, group, list(dict.fromkeys(["image_id", *names]))) for group in row_groups])
    order = np.argsort(np.array(table["image_id"].to_pylist()))  # the order of NumPy, as the predictions have it
    return table.take(order).select(list(names))


def read_groups(source: OpenSplit, variant: str) -> np.ndarray[tuple[int], np.dtype[np.str_]] | None:
    """The group of each image (N,), in order of the images' ids; None if the card says that those of the split are
    unknown, as that of GTSRB does; it had no `unknown_groups` when older datasets were made. Raises StreamError."""
    card = source.card
    unknown = card.unknown_groups or (GTSRB_CARD.unknown_groups if card.group == GTSRB_CARD.group else ())
    if source.split in unknown:
        return None
    table = read_columns(source, variant, ["image_id", "group"])
    return np.array(table["group"].to_pylist(), np.str_)


def _read(source: OpenSplit, group: RowGroup, names: Sequence[str]) -> pa.Table:
    try:
        return ParquetDatasetPiece(group.path, source.opener, group.number).read(list(names))
    except (OSError, pa.ArrowException) as error:
        raise StreamError(f"{group.path}, row group {group.number}: cannot be read ({error}); {AGAIN}") from error
