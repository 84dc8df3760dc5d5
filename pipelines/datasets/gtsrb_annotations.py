"""Reads GTSRB's annotation files, as published or saved by spreadsheets and pandas."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipelines.datasets.files import FileReader
from pipelines.datasets.listing import Location
from pipelines.errors import RoadsignError, SourceError

__all__ = ["Annotation", "AnnotationFile", "read_annotations"]

NUMBERS = ("Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId")
MAX_BYTES = 16 * 2**20
"""The largest published file has 2 MB."""
MAX_LINES = 400_000
"""The limit for all files of a source together; GTSRB has 51,839 lines."""
WHOLE_NUMBER = re.compile(r"\s*(-?\d{1,15})(?:\.0+)?\s*", re.ASCII)
"""pandas writes 53.0 if a column had an empty cell."""


class AnnotationFile(NamedTuple):
    """An annotation file: its location, the column with image names, and the folder that the names are relative to."""

    location: Location
    image_column: str
    folder: str


class Annotation(NamedTuple):
    """One line: its file and line number, the path of its image, its cells in the order of NUMBERS, and these as
    numbers, or None if one of them is not an integer."""

    where: str
    image: str
    cells: list[str | None]
    numbers: list[int] | None


def read_annotations(reader: FileReader, files: Iterable[AnnotationFile]) -> Iterator[Annotation]:
    """Yields every line of `files`. Raises SourceError for a file that is not a CSV or lacks a column, and for more
    than MAX_LINES lines."""
    lines = 0
    for file in files:
        try:
            for annotation in _read(reader, file):
                lines += 1
                if lines > MAX_LINES:
                    raise SourceError(f"{file.location}: more than {MAX_LINES:,} lines; GTSRB has 51,839")
                yield annotation
        except RoadsignError:
            raise
        except Exception as error:  # noqa: BLE001 - file systems, zips and csv raise many exception types
            raise SourceError(f"{file.location}: not readable as CSV: {type(error).__name__}: {error}") from None


def _read(reader: FileReader, file: AnnotationFile) -> Iterator[Annotation]:
    text = reader.read(file.location, MAX_BYTES).decode("utf-8-sig")
    heading = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=";" if heading.count(";") >= heading.count(",") else ",")
    columns = list(rows.fieldnames or ())
    for name in sorted({file.image_column, *NUMBERS}):
        if columns.count(name) > 1:
            raise SourceError(f"{file.location}: has the column {name} twice; remove one of them")
    missing = {file.image_column, *NUMBERS}.difference(columns)
    if missing:
        raise SourceError(f"{file.location}: has no column {', '.join(sorted(missing))}; it has {columns}")
    for row in rows:
        cells = [row[name] for name in NUMBERS]
        image = file.folder + (row[file.image_column] or "").replace("\\", "/")
        yield Annotation(f"{file.location} line {rows.line_num}", image, cells, _whole_numbers(cells))


def _whole_numbers(cells: list[str | None]) -> list[int] | None:
    matches = [WHOLE_NUMBER.fullmatch(cell or "") for cell in cells]
    numbers = [int(match[1]) for match in matches if match]
    return numbers if len(numbers) == len(cells) else None
