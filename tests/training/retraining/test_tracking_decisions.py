"""What a decision looks like on the console, and how its accuracy is said."""

import io

from rich.console import Console

from training.evaluation.intervals.proportions import Interval
from training.retraining.decision import Compared, Decision
from training.retraining.tracking_decisions import accuracy_text, sentence_on_test, shown

ALONE = Compared(
    cell="clean", unit="group", images=7829, groups=261, champion_seeds=0, challenger_seeds=3, challenger=0.0475,
    challenger_low=0.031, challenger_high=0.0721, design_effect=8.8, verdict="below the minimum",
)  # fmt: skip
BESIDE = ALONE._replace(
    cell="[red]noise", champion=0.04, champion_seeds=1, difference=0.0075, low=-0.01, high=0.025, p_better=0.2,
    p_better_corrected=0.4, p_worse=0.9, p_worse_corrected=1.0, verdict="no difference",
)  # fmt: skip


def lines(*cells: Compared) -> list[list[str]]:
    """The rows as words, on a console of 80 columns."""
    console = Console(file=io.StringIO(), width=80)
    console.print(shown(Decision(False, "", cells)))
    assert isinstance(console.file, io.StringIO)
    return [line.split() for line in console.file.getvalue().splitlines()[2:]]


def test_the_console_shows_each_cell_with_its_verdict() -> None:
    assert lines(ALONE) == [["clean", "7,829", "261", "4.75%", "3.10–7.21", "below", "the", "minimum"]]
    first, *rest = lines(BESIDE)
    assert [*first, *(word for line in rest for word in line)] == [
        "[red]noise", "7,829", "261", "4.00%", "4.75%", "3.10–7.21", "+0.75", "no", "difference",
    ]  # fmt: skip


def test_an_accuracy_is_printed_with_its_interval_and_unit() -> None:
    assert accuracy_text(ALONE, "validation") == (
        "4.75% (95 % interval 3.10–7.21; 7,829 validation images, 261 groups, 3 seeds)"
    )
    assert accuracy_text(ALONE._replace(challenger_seeds=1), "validation").endswith("261 groups)")


def test_the_output_says_that_test_images_decided_nothing() -> None:
    estimated = Interval(0.964, 0.952, 0.974, 12630, None, 8.8, "estimated")
    assert sentence_on_test(estimated) == (
        "On test images, which decided nothing: clean accuracy 96.40% (95 % interval 95.20% to 97.40%, 12,630 images, "
        "unit: estimated, design effect 8.8)."
    )
