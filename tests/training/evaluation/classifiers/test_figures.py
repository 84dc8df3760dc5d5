from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from small_datasets import shown

from training.evaluation.classifiers import figures
from training.evaluation.classifiers.flips import Flip
from training.evaluation.classifiers.metrics import Measurement, Reliability
from training.evaluation.classifiers.table import Subject, make_table

NAMES = ["Stop", "Yield", "No entry"]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_the_heat_map_has_each_count_at_its_label_and_prediction() -> None:
    matrix = np.array([[5, 0, 2], [0, 0, 0], [1, 0, 7]])
    figure = figures.heat_map(matrix, NAMES, "title")
    found = {
        (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in figure.axes[0].texts
    }
    assert found == {(0, 0): "5", (0, 2): "2", (2, 0): "1", (2, 2): "7"}


def test_reliability_diagrams_have_a_panel_per_variant_with_its_error() -> None:
    sure = Reliability(np.array([0, 4]), np.array([np.nan, 0.9]), np.array([np.nan, 0.5]))
    fair = Reliability(np.array([2, 2]), np.array([0.25, 0.75]), np.array([0.25, 0.75]))
    figure = figures.reliability_diagrams(
        {shown("gaussian-max"): sure, shown("clean"): fair, shown("gaussian-min"): fair}, "cnn"
    )
    visible = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert visible == ["clean: ECE 0.000", "gaussian-min: ECE 0.000", "gaussian-max: ECE 0.400"]


def accuracies(*variants: str) -> pa.Table:
    return make_table(
        (
            Subject(model, None, "0", 40, *shown(variant), "test"),
            [Measurement("accuracy", value, value - 0.1, value + 0.1)],
        )
        for model, value in (("a", 0.5), ("b", 0.25))
        for variant in variants
    )


def test_accuracy_has_a_panel_per_noise_and_a_line_per_model() -> None:
    figure = figures.accuracy_by_noise(accuracies("periodic-max", "clean", "gaussian-min", "gaussian-max"))
    assert [axis.get_title() for axis in figure.axes] == ["periodic", "gaussian"]
    gaussian = figure.axes[1]
    assert [label.get_text() for label in gaussian.get_xticklabels()] == ["clean", "min", "max"]
    lines = [container.lines[0].get_ydata().tolist() for container in gaussian.containers]  # type: ignore[union-attr]
    assert lines == [[50, 50, 50], [25, 25, 25]]
    assert [axis.get_title() for axis in figures.accuracy_by_noise(accuracies("clean")).axes] == ["none"]


def test_flipped_images_are_drawn_in_pairs_with_both_predictions() -> None:
    flips = [Flip(name, 0, 0.99, 2, 0.5) for name in "abc"]
    before, after = ({flip.image_id: np.full((4, 4, 3), grey, np.uint8) for flip in flips} for grey in (50, 200))
    figure = figures.flipped_images(flips, before, after, NAMES, "gaussian-max", "title")
    drawn = [(axis.get_title(), int(axis.images[0].get_array().max())) for axis in figure.axes if axis.images]  # type: ignore[union-attr]
    assert len(drawn) == 6
    assert drawn[:2] == [("a, 99% sure:\n0 Stop", 50), ("gaussian-max, 50% sure:\n2 No entry", 200)]


def test_a_saved_figure_is_a_png_and_no_partial_file_is_left(tmp_path: Path) -> None:
    path = figures.save(figures.accuracy_by_noise(accuracies("clean")), tmp_path / "new" / "figure.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "new").iterdir()) == [path]
