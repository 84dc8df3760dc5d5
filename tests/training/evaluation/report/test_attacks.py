"""Attacks in the report: a row for each strength, and nothing where there are no adversarial images."""

from ladder_predictions import subject

from training.evaluation.classifiers.attack_facts import Strength
from training.evaluation.classifiers.metrics import Measurement
from training.evaluation.report.attacks import attack_section
from training.evaluation.report.contract import Grid, Picture, Prose
from training.evaluation.robustness.curves import Curve, Point


def point(strength_db: float | None, accuracy: float) -> Point:
    strength = None if strength_db is None else Strength("snr", strength_db)
    found = Measurement("accuracy", accuracy, accuracy - 0.05, accuracy + 0.05, 400, 40, 1.0, "group")
    weaker = Measurement(
        "accuracy_cumulative", accuracy - 0.01, accuracy - 0.06, accuracy + 0.04, 400, 40, 1.0, "group"
    )
    return Point("clean" if strength is None else f"fgsm-snr{strength_db:g}", strength, found, weaker)


CURVE = Curve("cnn-seed0", "fgsm", False, "snr", (point(None, 0.9), point(50.0, 0.8), point(33.0, 0.3)))


def test_each_strength_has_a_row_with_both_accuracies() -> None:
    section = attack_section([subject("A", 20.0)], [CURVE], ["cnn-seed0: the attack may be stuck"])
    assert section is not None
    (grid,) = [block for block in section.blocks if isinstance(block, Grid)]
    assert [[cell.text for cell in row] for row in grid.rows] == [
        ["A: fgsm", "80.0", "79.0"],
        ["A: fgsm", "30.0", "29.0"],
    ]
    assert grid.rows[1][0].note == "33 dB"
    assert grid.rows[1][1].note == "25.0 – 35.0"
    assert grid.data is not None
    assert grid.data["strength"].to_pylist() == [50.0, 33.0]
    (picture,) = [block for block in section.blocks if isinstance(block, Picture)]
    (axis,) = picture.figure.axes
    first, last = axis.get_xlim()
    assert first > last, "stronger attacks, of a lower ratio, are at the right"
    flagged = section.blocks[-1]
    assert isinstance(flagged, Prose)
    assert flagged.items == ["cnn-seed0: the attack may be stuck"]


def test_without_adversarial_images_there_is_no_section() -> None:
    assert attack_section([subject("A", 20.0)], [], []) is None
    assert attack_section([subject("A", 20.0)], [CURVE._replace(model="another network")], []) is None
