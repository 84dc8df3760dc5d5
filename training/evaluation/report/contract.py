"""What a report is made of: sections with sentences, tables and figures, before anything is written."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pyarrow as pa
from matplotlib.figure import Figure

__all__ = ["Block", "Cell", "Gate", "Grid", "Picture", "Prose", "Section", "Tone", "table"]

Tone = Literal["good", "bad", "unclear", "plain"]


class Cell(NamedTuple):
    """`note` stands below the text in small type, such as an interval; `shade` in [0, 1] is the colour of a matrix'
    cell, from bad to good."""

    text: str
    note: str = ""
    shade: float | None = None
    tone: Tone = "plain"


class Grid(NamedTuple):
    """A table as the page shows it. `data` is the same with all digits, written as <name>.csv and <name>.parquet; None
    if there is nothing more to say. The first column names the row."""

    name: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    data: pa.Table | None = None


class Picture(NamedTuple):
    """`alt` says what it shows to whoever does not see it. Photographs are shown as PNG, all others as SVG."""

    name: str
    figure: Figure
    caption: str
    alt: str
    photographs: bool = False


def table(rows: Sequence[Mapping[str, Any]], whole: Collection[str], texts: Collection[str]) -> pa.Table:
    """`rows` as a table whose columns have the same types whatever is missing: integers in `whole`, strings in `texts`,
    floats in all others."""
    names = list(rows[0]) if rows else [*texts, *whole]
    kinds = ((name, pa.int64() if name in whole else pa.string() if name in texts else pa.float64()) for name in names)
    return pa.Table.from_pylist(list(rows), pa.schema(list(kinds)))


class Prose(NamedTuple):
    """Paragraphs; of several `items`, a list."""

    items: Sequence[str]
    listed: bool = False


Block = Grid | Picture | Prose


class Section(NamedTuple):
    """`key` is its anchor in the page."""

    key: str
    title: str
    blocks: Sequence[Block]


class Gate(NamedTuple):
    """A check that the report makes by itself. `broken` says what is wrong, one sentence each; none if it holds."""

    name: str
    broken: Sequence[str]
