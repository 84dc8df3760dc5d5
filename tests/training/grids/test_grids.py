"""Settings of grids, outcomes on disk, and the table beside plain sums."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import write_dataset

from pipelines.errors import SettingsError
from pipelines.settings import load
from pipelines.store.shown import Shown
from training.attacks import LabelledImages, SnrDb
from training.attacks.fgsm import Fgsm
from training.classifiers.trained import Classifier, Shape
from training.evaluation.classifiers.predicting import predict
from training.evaluation.intervals.proportions import DesignEffect
from training.evaluation.intervals.seeds import over_seeds
from training.grids.differences import differences, differences_markdown
from training.grids.evaluating import evaluate_network
from training.grids.outcomes import GridError, Outcome, read_outcomes, write_outcomes
from training.grids.settings import RunGrid, Trainings
from training.grids.table import find_flags, grid_table, markdown
from training.models.baseline_cnn import BaselineCnn
from training.streams.stream import Data, open_stream, to_unit_floats

CONF = Path(__file__).parents[3] / "conf"
ATTACKS = [
    {"attack": "fgsm", "snr_db": [33, 50]},
    {"attack": {"kind": "pgd", "steps": 3}, "snr_db": [33], "images": 12},
]

ONE = {"name": "a", "rows": {"one": []}}


def settings(**fields: object) -> RunGrid:
    grid = {"name": "small", "rows": {"one": [], "two": ["parseval={beta: 0.1}"]}, "attacks": ATTACKS}
    values = {"grid": grid, "seeds": [0, 1], "output_root": "grids", **fields}
    return RunGrid.model_validate(values, strict=False)


def outcome(shown: Shown, right: list[int], groups: list[str] | None = None) -> Outcome:
    ids = np.array([f"test/{number}" for number in range(len(right))])
    named = None if groups is None else np.array(groups)
    effect = None if groups else DesignEffect(2.0, 9)
    return Outcome(shown, ids, np.array(right, bool), named, False, effect)


def of_strengths(clean: list[int], weak: list[int], strong: list[int], pgd: list[int]) -> list[Outcome]:
    shown = (Shown(), Shown("fgsm", "snr50"), Shown("fgsm", "snr33"), Shown("pgd_steps_3", "snr33"))
    return [outcome(*both) for both in zip(shown, (clean, weak, strong, pgd), strict=True)]


def test_the_grid_of_the_report_can_be_trained(tmp_path: Path) -> None:
    grid = load(RunGrid, CONF / "run_grid.yaml", [f"output_root={tmp_path}"])
    trainings = Trainings.of(grid, CONF / "train_classifier.yaml", ["epochs=2"])
    assert list(grid.chosen) == [
        "vanilla", "adv", "smooth", "psv", "adv+psv", "adv+smooth", "adv+psv+smooth", "trades", "aol",
    ]  # fmt: skip
    kinds = {row: trainings.load(row, 1) for row in grid.chosen}
    assert {row: one.objective.kind for row, one in kinds.items() if one.objective.kind != "cross_entropy"} == {
        "adv": "adversarial", "adv+psv": "adversarial", "adv+smooth": "adversarial", "adv+psv+smooth": "adversarial",
        "trades": "trades", "aol": "lipschitz_margin",
    }  # fmt: skip
    assert [row for row, one in kinds.items() if one.parseval] == ["psv", "adv+psv", "adv+psv+smooth"]
    assert [row for row, one in kinds.items() if one.smoothness] == ["smooth", "adv+smooth", "adv+psv+smooth"]
    assert all((one.epochs, one.seed, one.resume) == (2, 1, "auto") for one in kinds.values())
    assert len({one.fingerprint({}, 1) for one in kinds.values()}) == 9


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seeds": [0, 0]}, "duplicates"),
        ({"rows": ["three"]}, "there are: one, two"),
        ({"grid": ONE | {"attacks": [{"attack": "fgsm"}]}}, "one of the two"),
        ({"grid": ONE | {"attacks": [{"attack": "deepfool", "eps": [0.1]}]}}, "no strength"),
        ({"grid": ONE | {"attacks": [ATTACKS[0], ATTACKS[0]]}}, "more than once"),
        ({"grid": ONE | {"name": "a/b"}}, "pattern"),
    ],
)  # fmt: skip
def test_settings_that_make_no_grid_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(**fields)


@pytest.mark.parametrize(
    ("rows", "given", "message"),
    [
        ({"one": ["seed=3"]}, [], "row one: seed=3: the grid sets seed itself"),
        ({"one": []}, ["runs_root=x"], "^runs_root=x: the grid sets runs_root itself"),
        ({"one": ["parseval={beta: 7}"]}, [], "row one: .*beta"),
        ({"one": ["smoothnes={gamma: 1}"]}, [], "row one: .*smoothnes"),
    ],
)
def test_rows_that_cannot_be_trained_are_named(rows: dict[str, list[str]], given: list[str], message: str) -> None:
    grid = settings(grid={"name": "small", "rows": rows})
    with pytest.raises(SettingsError, match=message):
        Trainings.of(grid, CONF / "train_classifier.yaml", given)


def test_strengths_go_from_the_weakest_to_the_strongest() -> None:
    (fgsm, _) = settings().grid.attacks
    assert [one.level for one in fgsm.strengths] == ["snr50", "snr33"]


def test_outcomes_are_the_same_after_a_file(tmp_path: Path) -> None:
    written = [outcome(Shown(), [1, 0, 1]), outcome(Shown("gaussian", "max"), [0, 1], ["a", "b"])]
    write_outcomes(written, tmp_path / "outcomes.parquet")
    for one, other in zip(written, read_outcomes(tmp_path / "outcomes.parquet"), strict=True):
        assert (one.shown, one.recovered, one.design_effect) == (other.shown, other.recovered, other.design_effect)
        np.testing.assert_array_equal(one.right, other.right)
        np.testing.assert_array_equal(one.image_ids, other.image_ids)
        assert (one.groups is None) == (other.groups is None)
        assert one.units.proportion(one.right) == other.units.proportion(other.right)
    (tmp_path / "outcomes.parquet").write_bytes(b"PAR1")
    with pytest.raises(GridError, match="remove it, and it is made again"):
        read_outcomes(tmp_path / "outcomes.parquet")


def test_the_table_has_means_over_seeds_with_intervals_by_object() -> None:
    random, groups = np.random.default_rng(0), [f"sign {number // 5}" for number in range(50)]
    seeds = [[outcome(Shown(), random.integers(2, size=50).tolist(), groups)] for _ in range(3)]
    table = grid_table(settings(), {"one": seeds}, {}).to_pylist()
    expected = over_seeds(seeds[0][0].units, np.array([one.right for (one,) in seeds]))
    (row,) = table
    assert row["accuracy"] == pytest.approx(np.mean([one.right.mean() for (one,) in seeds]))
    assert row["sd"] == pytest.approx(np.std([one.right.mean() for (one,) in seeds], ddof=1))
    assert (row["low"], row["high"], row["groups"]) == (expected.interval.low, expected.interval.high, 10)
    assert (row["seeds"], row["split"], row["snr_db"]) == (3, "test", None)


def test_differences_to_the_first_row_are_paired_by_image() -> None:
    random, groups = np.random.default_rng(0), [f"sign {number // 5}" for number in range(100)]
    base = [random.integers(2, size=100).tolist() for _ in range(3)]
    better = [[1] * 40 + right[40:] for right in base]
    results = {
        row: [[outcome(Shown(), right, groups)] for right in seeds]
        for row, seeds in {"base": base, "same": base, "better": better}.items()
    }
    found = differences(results)
    assert list(found) == [("same", Shown()), ("better", Shown())]
    same, gain = found.values()
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert gain.value is not None
    assert gain.value == pytest.approx(np.mean(better) - np.mean(base))
    by_sign = (np.mean(better, axis=0) - np.mean(base, axis=0)).reshape(20, 5).mean(axis=1)
    half = 2.093 * by_sign.std(ddof=1) / 20**0.5  # Student's t of 19 degrees; the seeds differ by little here
    assert gain.low == pytest.approx(gain.value - half, abs=0.02)
    assert gain.high == pytest.approx(gain.value + half, abs=0.02)
    text = differences_markdown(found, "base")
    assert text.startswith("| points more than base | same | better |\n")
    assert f"| clean | +0.00 (+0.00 to +0.00) | **+{100 * gain.value:.2f}** (" in text
    rows = grid_table(settings(), results, found).to_pylist()
    assert [row["difference"] for row in rows] == [None, 0, gain.value]


def test_differences_of_different_numbers_of_seeds_are_over_the_smaller_one() -> None:
    one, groups = [outcome(Shown(), [1, 1, 0, 0], ["a", "a", "b", "b"])], ["a", "a", "b", "b"]
    (found,) = differences({"base": [one], "worse": [[outcome(Shown(), [1, 0, 0, 0], groups)], one]}).values()
    assert found.value == -0.25 and found.low is not None and found.low < -0.25 < 0 < (found.high or 0)
    assert differences({"base": [one], "none": []}) == {}


def test_a_single_seed_is_said_to_be_one() -> None:
    table = grid_table(settings(), {"one": [of_strengths([1] * 4, [1, 1, 1, 0], [1, 0, 0, 0], [0] * 4)]}, {})
    assert [row["sd"] for row in table.to_pylist()] == [None] * 4
    assert [row["snr_db"] for row in table.to_pylist()] == [None, 50, 33, 33]
    assert "75.00 (one seed)" in markdown(table)


def test_accuracy_that_rises_and_weak_iterative_attacks_are_flagged() -> None:
    ordered = of_strengths([1] * 4, [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0])
    assert find_flags(settings(), {"one": [ordered, ordered]}) == []
    rising = of_strengths([1] * 4, [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0])
    (flag,) = find_flags(settings(), {"one": [rising]})
    assert "one: accuracy rises with the strength of the attack, from 50.00% on fgsm-snr50 to 75.00% on" in flag
    masked = of_strengths([1] * 4, [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0])
    (flag,) = find_flags(settings(), {"one": [masked]})
    assert "pgd_steps_3-snr33 leaves more images right (50.00%) than fgsm-snr33 (25.00%)" in flag


def test_a_network_is_evaluated_as_it_is_evaluated_elsewhere(tmp_path: Path) -> None:
    """On the variants as by `predict`; under FGSM as by the attack itself, on images in another order."""
    data = Data(root=str(write_dataset(tmp_path, variants=("clean", "gaussian-max"))), size_px=8)
    shape = Shape(8, 43, (0.5,) * 3, (0.3,) * 3)
    network = Classifier(shape.build(BaselineCnn(), 0).eval(), BaselineCnn(), shape)
    device = torch.device("cpu")
    outcomes = evaluate_network(settings(), network, data, ["clean", "gaussian-max"], None, device, 5)
    by_variant = {one.shown.variant: one for one in outcomes}
    assert list(by_variant) == ["clean", "gaussian-max", "fgsm-snr50", "fgsm-snr33", "pgd_steps_3-snr33"]
    found = predict({"": network}, data, "test", ["gaussian-max"], device)["", "gaussian-max"]
    np.testing.assert_array_equal(by_variant["gaussian-max"].right, found.right)
    assert len(by_variant["pgd_steps_3-snr33"].right) == 12
    (batch,) = open_stream(data, "test", seed=0, batch_size=20).epoch(0)
    examples = LabelledImages(to_unit_floats(batch.images, device), batch.labels, batch.image_ids, 5)
    (attacked,) = Fgsm()(network.network, examples, [SnrDb(33.0)])
    right = network.network(attacked.images).argmax(1) == batch.labels
    assert dict(zip(batch.image_ids, right.tolist(), strict=True)) == dict(
        zip(by_variant["fgsm-snr33"].image_ids.tolist(), by_variant["fgsm-snr33"].right.tolist(), strict=True)
    )
