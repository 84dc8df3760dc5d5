import io

from rich.console import Console
from small_datasets import shown

from training.evaluation.classifiers.metrics import wilson
from training.evaluation.classifiers.reports import accuracies
from training.evaluation.classifiers.table import Subject, make_table


def name_of(seed: int) -> str:
    return f"20261120-094455-baseline_cnn-40px-seed{seed}-9217e7"


def printed(models: int) -> list[str]:
    """Lines on a narrow screen."""
    measured = [
        (Subject(name_of(seed), None, "digest", 40, *shown(variant), "test"), [wilson("accuracy", 9000 + seed, 10_000)])
        for seed in range(models)
        for variant in ("salt_pepper-max", "clean")
    ]
    screen = io.StringIO()
    Console(file=screen, width=80).print(accuracies(make_table(measured)))
    return screen.getvalue().splitlines()


def test_variants_and_numbers_are_whole_on_a_narrow_screen() -> None:
    lines = printed(2)
    assert [line.split()[0] for line in lines if "%  (" in line] == ["clean", "salt_pepper-max"]
    for line in lines:
        if "salt_pepper-max" in line:
            assert "90.00 %  (89.40 – 90.57)" in line
            assert "90.01 %  (89.41 – 90.58)" in line


def test_many_models_are_numbered_and_named_below() -> None:
    lines = printed(9)
    (row,) = [line.split() for line in lines if "salt_pepper-max" in line]
    assert row == ["salt_pepper-max", *(f"90.0{seed}" for seed in range(9))]
    assert [line.split() for line in lines if line.split() == ["variant", *map(str, range(1, 10))]]
    assert [line.strip() for line in lines][-9:] == [f"{seed + 1}: {name_of(seed)}" for seed in range(9)]
