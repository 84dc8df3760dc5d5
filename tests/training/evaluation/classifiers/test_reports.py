import io

import numpy as np
from rich.console import Console
from small_datasets import shown

from training.evaluation.classifiers.metrics import Measurement
from training.evaluation.classifiers.reports import accuracies
from training.evaluation.classifiers.table import Subject, make_table
from training.evaluation.intervals.proportions import DesignEffect, Units


def name_of(seed: int) -> str:
    return f"20261120-094455-baseline_cnn-40px-seed{seed}-9217e7"


def printed(models: int, units: Units = Units("image")) -> list[str]:  # noqa: B008
    """Lines on a narrow screen."""
    accuracies_of = [units.proportion(np.arange(10_000) < 9000 + seed) for seed in range(models)]
    measured = [
        (
            Subject(name_of(seed), None, "digest", 40, *shown(variant), "test"),
            [Measurement.of("accuracy", accuracies_of[seed])],
        )
        for seed in range(models)
        for variant in ("salt_pepper-max", "clean")
    ]
    screen = io.StringIO()
    Console(file=screen, width=80).print(accuracies(make_table(measured)))
    return screen.getvalue().splitlines()


def test_variants_and_numbers_are_not_cut_on_a_narrow_console() -> None:
    lines = printed(2)
    assert [line.split()[0] for line in lines if " – " in line] == ["clean", "salt_pepper-max"]
    for line in lines:
        if "salt_pepper-max" in line:
            assert "90.00 (89.40 – 90.57)   1.0" in line
            assert "90.01 (89.41 – 90.58)   1.0" in line


def test_the_unit_of_the_intervals_is_printed_below_the_table() -> None:
    tracks = np.repeat([f"sign {number}" for number in range(500)], 20)
    said = {
        "Intervals count 10,000 images, each of an object of its own.": Units("image"),
        "Intervals count 500 groups of images of one object (10,000 images).": Units.of_groups(tracks),
        "Intervals count 500 groups of images of one object, recovered": Units.of_groups(tracks, recovered=True),
        "unknown: intervals use the design effect of the validation": Units.unknown(DesignEffect(9.0, 261)),
        "Which of the 10,000 images show one object is unknown: intervals count images": Units.unknown(),
    }
    for sentence, units in said.items():
        assert sentence in " ".join(" ".join(printed(1, units)).split())


def test_many_models_are_numbered_and_listed_below_the_table() -> None:
    lines = printed(9)
    (row,) = [line.split() for line in lines if "salt_pepper-max" in line]
    assert row == ["salt_pepper-max", *(f"90.0{seed}" for seed in range(9))]
    assert [line.split() for line in lines if line.split() == ["variant", *map(str, range(1, 10))]]
    assert [line.strip() for line in lines][-9:] == [f"{seed + 1}: {name_of(seed)}" for seed in range(9)]
