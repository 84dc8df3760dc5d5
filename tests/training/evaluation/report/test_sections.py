"""The sections of a report beside plain computations of the same numbers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from ladder_predictions import by_model, network, subject
from scipy.stats import spearmanr

from training.evaluation.report.changes import change_sections, compared
from training.evaluation.report.contract import Block, Grid, Picture, Prose
from training.evaluation.report.curves import find_failures, threshold_section
from training.evaluation.report.gates import find_gates, gate_section
from training.evaluation.report.matrix import matrix_section, relative_errors
from training.evaluation.report.subjects import Subject
from training.evaluation.robustness.thresholds import Criterion

CRITERION = Criterion(draws=100, class_draws=100)
WEAK, STRONG = subject("A", 14.0, 15.0, 16.0, name="weak"), subject("B", 30.0, 31.0, 32.0, name="strong")


def grid(blocks: Sequence[Block], name: str) -> Grid:
    (found,) = [block for block in blocks if isinstance(block, Grid) and block.name == name]
    return found


def test_the_matrix_has_mean_and_interval_of_every_recipe_and_variant() -> None:
    found = grid(matrix_section([WEAK, STRONG]).blocks, "accuracy")
    assert [row[0].text for row in found.rows] == ["clean", "gaussian-min", "gaussian-avg", "gaussian-max"]
    assert found.rows[2][0].note.startswith("standard deviation 20 grey levels; ")
    assert found.header[1] == "A weak (3 seeds)"
    accuracies = [float(one.right.mean()) for one in WEAK.found["gaussian-avg"]]
    cell = found.rows[2][1]
    assert cell.text == f"{100 * np.mean(accuracies):.1f} ± {100 * np.std(accuracies, ddof=1):.1f}"
    assert cell.shade == pytest.approx(np.mean(accuracies))
    interval = WEAK.accuracy("gaussian-avg")
    assert interval.low is not None and interval.high is not None
    assert cell.note == f"{100 * interval.low:.1f} – {100 * interval.high:.1f}"
    assert found.data is not None
    assert found.data.num_rows == 14  # the finer strengths too
    assert set(found.data["counted"].to_pylist()) == {"group"}


def test_corruption_errors_are_ratios_of_summed_errors() -> None:
    levels = [variant for variant in WEAK.found if variant != "clean"]
    errors = {
        one.letter: {variant: 1 - np.mean([seed.right.mean() for seed in one.found[variant]]) for variant in one.found}
        for one in (WEAK, STRONG)
    }
    plain, added = relative_errors(WEAK, STRONG)
    a, b = (sum(errors[letter][variant] for variant in levels) for letter in "AB")
    assert plain == {"gaussian": pytest.approx(b / a)}
    a, b = (sum(errors[letter][variant] - errors[letter]["clean"] for variant in levels) for letter in "AB")
    assert added == {"gaussian": pytest.approx(b / a)}
    assert relative_errors(WEAK, WEAK)[0]["gaussian"] == pytest.approx(1)


def test_the_rank_correlation_is_scipys() -> None:
    renamed = [one._replace(found=_all_named(one)) for one in (WEAK, STRONG)]
    table = grid(matrix_section(renamed).blocks, "rank_correlation")
    accuracies = [
        [np.mean([seed.right.mean() for seed in one.found[variant]]) for variant in WEAK.found if variant != "clean"]
        for one in (WEAK, STRONG)
    ]
    assert table.rows[0][1].text == f"{spearmanr(*accuracies).statistic:.2f}"


def _all_named(one: Subject) -> dict[str, list[object]]:
    """With no level called min, avg or max, so that all strengths are in the page."""
    return {
        variant: [replace(seed, recorded=seed.recorded._replace(level=f"s{place}")) for seed in seeds]
        if variant != "clean" else list(seeds)
        for place, (variant, seeds) in enumerate(one.found.items())
    }  # fmt: skip


def test_flips_count_images_and_the_confusions_are_drawn() -> None:
    (section,) = change_sections(compared(by_model(WEAK, STRONG), [WEAK, STRONG]))
    table = grid(section.blocks, "change_A_B")
    row = next(row for row in table.rows if row[0].text == "gaussian-max")
    pairs = [(one.right, other.right) for one in WEAK.found["gaussian-max"] for other in STRONG.found["gaussian-max"]]
    assert row[5].text == f"{np.mean([(~one & other).sum() for one, other in pairs]):,.0f}"
    assert row[6].text == f"{np.mean([(one & ~other).sum() for one, other in pairs]):,.0f}"
    assert row[4].tone == "good"
    assert any(isinstance(block, Picture) for block in section.blocks)


def test_thresholds_are_in_a_table_with_their_digits_and_in_a_figure() -> None:
    failures = find_failures([WEAK, STRONG], CRITERION)
    section = threshold_section(failures, [WEAK, STRONG], CRITERION)
    table = grid(section.blocks, "thresholds")
    assert table.data is not None
    assert table.data["threshold"].to_pylist() == [one.threshold.value for one in failures]
    (picture,) = [block for block in section.blocks if isinstance(block, Picture)]
    (axis,) = picture.figure.axes
    assert axis.get_xlabel() == "standard deviation, grey levels"
    points = next(line for line in axis.lines if line.get_label() == "A weak (3 seeds)")
    assert points.get_ydata()[0] == pytest.approx(100 * np.mean([one.right.mean() for one in WEAK.found["clean"]]))


def broken(*subjects: Subject, flags: Sequence[str] = (), leaks: Sequence[str] = ()) -> dict[str, Sequence[str]]:
    return {gate.name: gate.broken for gate in find_gates(subjects, {}, flags, leaks)}


def test_sound_networks_break_no_gate() -> None:
    assert all(not found for found in broken(WEAK, STRONG).values())


def test_each_gate_names_what_is_wrong() -> None:
    strengths = {**WEAK.found}
    strengths["gaussian-60"] = [replace(one, noise=WEAK.found["gaussian-60"][0].noise) for one in STRONG.found["clean"]]
    found = broken(WEAK._replace(found=strengths))
    assert any(
        "accuracy rises from gaussian-max to gaussian-60" in one
        for one in found["Accuracy does not rise with the strength of a noise"]
    )
    single = subject("A", 20.0)
    fewer = single._replace(
        found={**single.found, "clean": [single.found["clean"][0].at(single.found["clean"][0].image_ids[:50])]}
    )
    found = broken(fewer, flags=["x: stuck"], leaks=["one image twice"])
    assert any("fewer of clean (50)" in one for one in found["Every variant shows the same images"])
    assert any("single network" in one for one in found["At least 3 seeds of each recipe"])
    assert found["Attacks are not stuck, and no evaluated split was trained on"] == ["x: stuck"]
    assert found["No image of the training shows up again in the evaluated split"] == ["one image twice"]
    unknown = Subject(
        "A", "cnn", ["cnn"], {variant: [replace(one, groups=None)] for variant, one in network(20.0).items()}, {}
    )
    assert any("recover_tracks" in one for one in broken(unknown)["Intervals count physical objects"])


def test_broken_gates_are_listed_and_marked() -> None:
    section = gate_section(find_gates([subject("A", 20.0)], {}, (), ()))
    table = grid(section.blocks, "gates")
    marked = {row[0].text: row[1] for row in table.rows}
    assert marked["At least 3 seeds of each recipe"].tone == "bad"
    assert marked["Intervals count physical objects"].tone == "good"
    (prose,) = [block for block in section.blocks if isinstance(block, Prose)]
    assert len(prose.items) == 1
