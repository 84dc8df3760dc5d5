"""A report as one HTML page that needs nothing else, and its tables and figures as files beside it."""

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.figure import Figure

from training.evaluation.classifiers.files import replacing
from training.evaluation.report.contract import Block, Grid, Picture, Section
from training.evaluation.report.style import bounds, inline_svg

__all__ = ["write_files", "write_page"]

FILE_DPI, PAGE_DPI = 150, 110
SHADES = colormaps["RdYlBu"]
"""Red for bad and blue for good, which people with deuteranopia tell apart."""


def write_page(path: Path, title: str, sections: Sequence[Section], facts: Sequence[str]) -> None:
    """`facts` are the small print: what was evaluated, by which version. Raises EvaluationError."""
    environment = Environment(
        loader=PackageLoader("training.evaluation.report", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"shade": _shade, "picture": _picture}
    environment.tests |= {
        "grid": lambda block: isinstance(block, Grid),
        "picture": lambda block: isinstance(block, Picture),
    }
    page = environment.get_template("page.html.jinja").render(title=title, sections=sections, facts=facts)
    with replacing(path) as partial:
        partial.write_text(page)


def write_files(folder: Path, sections: Sequence[Section]) -> None:
    """figures/<name>.svg and .png, tables/<name>.csv and .parquet. Raises EvaluationError."""
    for block in (block for section in sections for block in section.blocks):
        if isinstance(block, Picture):
            shown = bounds(block.figure)
            for suffix in ("svg", "png"):
                with replacing(folder / "figures" / f"{block.name}.{suffix}") as partial:
                    block.figure.savefig(partial, format=suffix, dpi=FILE_DPI, bbox_inches=shown, facecolor="white")
        elif isinstance(block, Grid) and block.data is not None:
            with replacing(folder / "tables" / f"{block.name}.parquet") as partial:
                pq.write_table(block.data, partial)
            with replacing(folder / "tables" / f"{block.name}.csv") as partial:
                pa_csv.write_csv(block.data, partial)


def _picture(block: Block) -> Markup:
    assert isinstance(block, Picture)
    if block.photographs:
        source = base64.b64encode(_png(block.figure)).decode()
        return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(source, block.alt)
    svg = inline_svg(block.figure, block.name).replace("<svg ", '<svg role="img" aria-label="{}" ', 1)
    return Markup(svg).replace("{}", Markup.escape(block.alt), 1)  # noqa: S704 - Matplotlib made it and escapes its texts


def _png(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="png", dpi=PAGE_DPI, bbox_inches=bounds(figure), facecolor="white")
    return file.getvalue()


def _shade(share: float) -> str:
    """The colour of a matrix' cell, and black or white for its text, whichever has the larger contrast by the Web
    Content Accessibility Guidelines (WCAG 2.2, "contrast ratio"), as CSS."""
    rgb = SHADES(min(max(share, 0.0), 1.0))[:3]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    text = "#000" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "#fff"
    colour = ", ".join(f"{round(255 * part)}" for part in rgb)
    return f"background: rgb({colour}); color: {text}"
