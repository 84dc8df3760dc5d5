import io

from rich.console import Console

from training.evaluation.metrics import wilson
from training.evaluation.reports import accuracies
from training.evaluation.table import Subject, make_table


def test_variants_and_numbers_are_whole_on_a_narrow_screen() -> None:
    names = [f"20261120-094455-baseline_cnn-40px-seed{seed}-9217e7" for seed in range(2)]
    measured = [
        (Subject(name, None, "digest", 40, variant, "test"), [wilson("accuracy", 9000 + seed, 10_000)])
        for seed, name in enumerate(names)
        for variant in ("salt_pepper-max", "clean")
    ]
    screen = io.StringIO()
    Console(file=screen, width=80).print(accuracies(make_table(measured)))
    lines = screen.getvalue().splitlines()
    assert [line.split()[0] for line in lines if "%  (" in line] == ["clean", "salt_pepper-max"]
    for line in lines:
        if "salt_pepper-max" in line:
            assert "90.00 %  (89.40 – 90.57)" in line
            assert "90.01 %  (89.41 – 90.58)" in line
