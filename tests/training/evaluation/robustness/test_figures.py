import numpy as np
import pytest
from attacked_predictions import predicted
from matplotlib.figure import Figure

from training.evaluation.classifiers.flips import Flip
from training.evaluation.robustness.curves import find_curves
from training.evaluation.robustness.figures import accuracy_over_strength, attacked_images, perturbation


def lines(figure: Figure) -> list[tuple[str, list[tuple[float, float]]]]:
    return [
        (axis.get_title(), list(zip(*line.get_data(), strict=True)))
        for axis in figure.axes
        for line in axis.get_lines()
    ]


def test_snr_falls_to_the_right_and_white_box_and_transfer_have_panels_of_their_own() -> None:
    rights = {"clean": [True] * 4, "fgsm-snr50": [True, True, False, False], "fgsm-snr33": [False, True, True, True]}
    measured = {("cnn", name): predicted(right, name) for name, right in rights.items()}
    measured["cnn", "fgsm_transfer_0f3a5c7e9b1d-snr33"] = predicted([True] * 4, "fgsm-snr33", transfer=True)
    figure = accuracy_over_strength(find_curves(measured))
    whole = [(-55.0, 100.0), (-50.0, 50.0), (-33.0, 75.0)]
    assert lines(figure) == [
        ("cnn: white box", whole),
        ("cnn: white box", [*whole[:2], (-33.0, 25.0)]),
        ("cnn: transfer", [(-55.0, 100.0), (-33.0, 100.0)]),
        ("cnn: transfer", [(-55.0, 100.0), (-33.0, 100.0)]),
    ]
    ticks = zip(figure.axes[0].get_xticks(), figure.axes[0].get_xticklabels(), strict=True)
    assert {place: text.get_text() for place, text in ticks} == {-55.0: "no attack", -50.0: "50", -33.0: "33"}


def test_radii_rise_from_zero_and_each_model_has_a_row() -> None:
    measured = {
        (model, name): predicted([right, True], name)
        for model, right in (("a", True), ("b", False))
        for name in ("clean", "pgd-eps0.1")
    }
    figure = accuracy_over_strength(find_curves(measured))
    assert lines(figure)[::2] == [
        ("a: white box", [(0.0, 100.0), (0.1, 100.0)]),
        ("b: white box", [(0.0, 50.0), (0.1, 50.0)]),
    ]


def test_the_number_of_pixels_starts_at_zero() -> None:
    measured = {
        ("cnn", "clean"): predicted([True, True], "clean"),
        ("cnn", "one_pixel"): predicted([True, True], "one_pixel", pixels=1),
        ("cnn", "one_pixel_pixels_3"): predicted([False, True], "one_pixel_pixels_3", pixels=3),
    }
    figure = accuracy_over_strength(find_curves(measured))
    assert lines(figure)[0] == ("cnn: white box", [(0.0, 100.0), (1.0, 100.0), (3.0, 50.0)])
    ticks = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert ticks == ["no attack", "1", "3"]


def test_perturbations_are_drawn_twentyfold_around_mid_grey() -> None:
    before = np.array([[[0, 51, 255]]], np.uint8)
    after = np.array([[[0.01, 0.19, 0.9]]], np.float32)
    np.testing.assert_allclose(perturbation(before, after), [[[0.7, 0.3, 0.0]]], atol=1e-5)


def test_attacked_images_stand_in_rows_of_three_with_both_predictions() -> None:
    flips = [Flip(name, 0, 0.99, 2, 0.5) for name in "ab"]
    before = {flip.image_id: np.full((4, 4, 3), 51, np.uint8) for flip in flips}
    after = {flip.image_id: np.full((4, 4, 3), 0.21, np.float32) for flip in flips}
    figure = attacked_images(flips, before, after, ["Stop", "Yield", "No entry"], "fgsm-snr33", "title")
    shown = [(axis.get_title(), float(axis.images[0].get_array().max())) for axis in figure.axes]  # type: ignore[union-attr]
    assert len(shown) == 6
    assert shown[0] == ("a, 99% sure:\n0 Stop", 51)
    assert shown[1] == ("perturbation × 20", pytest.approx(0.7, abs=1e-5))
    assert shown[2] == ("fgsm-snr33, 50% sure:\n2 No entry", pytest.approx(0.21))
