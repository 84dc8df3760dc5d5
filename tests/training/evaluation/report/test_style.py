"""The layout of a report's figures, which is computed once for all their files."""

from io import BytesIO
from typing import Literal

import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from training.evaluation.report.style import bounds, figure_style, grid_of_axes


def drawn() -> Figure:
    figure, axes = grid_of_axes(3, 2, (2.0, 1.5))
    for axis in axes:
        axis.plot([0, 1], [0, 1000], label="accuracy")
        axis.set(title="gaussian", xlabel="standard deviation, grey levels")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center")
    return figure


def size_px(figure: Figure, shown: Bbox | Literal["tight"]) -> tuple[int, int]:
    file = BytesIO()
    figure.savefig(file, format="png", dpi=100, bbox_inches=shown)
    return Image.open(file).size


def test_a_file_shows_what_matplotlib_would_show_tightly() -> None:
    with figure_style():
        tight = size_px(drawn(), "tight")
        figure = drawn()
        for _ in range(2):
            assert size_px(figure, bounds(figure)) == pytest.approx(tight, abs=1)


def test_the_layout_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with figure_style():
        figure = drawn()
        before = bounds(figure)
        monkeypatch.setattr(Figure, "draw_without_rendering", lambda _: pytest.fail("computed again"))
        assert bounds(figure).bounds == pytest.approx(before.bounds, abs=0.01)
