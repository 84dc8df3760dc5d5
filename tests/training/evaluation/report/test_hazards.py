"""Costs of confusions beside sums over images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ladder_predictions import subject
from omegaconf import OmegaConf

from pipelines.datasets.gtsrb_card import GTSRB_CARD
from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.report.contract import Grid, Prose
from training.evaluation.report.hazards import Hazards, Rule, costs_of, hazard_section
from training.evaluation.report.subjects import Subject

MENU = Path(__file__).parents[4] / "conf" / "hazards" / "gtsrb.yaml"
STOP = Hazards(rules=(Rule(shown=("stop",), taken_for="any", cost=10.0, why="it does not stop"),))


def gtsrb() -> Hazards:
    return Hazards.model_validate(OmegaConf.to_container(OmegaConf.load(MENU)), strict=False)


def test_the_proposal_is_about_classes_of_gtsrb() -> None:
    names = GTSRB_CARD.class_names
    costs = costs_of(gtsrb(), names)
    place = {name: label for label, name in enumerate(names)}

    def cost(shown: str, taken_for: str) -> float:
        return float(costs[place[shown], place[taken_for]])

    assert cost("Stop", "Priority road") == 10
    assert cost("Speed limit (80km/h)", "Speed limit (120km/h)") == pytest.approx(6)
    assert cost("Speed limit (20km/h)", "Speed limit (120km/h)") == pytest.approx(12)
    assert cost("Speed limit (80km/h)", "Speed limit (60km/h)") == 1
    assert cost("Speed limit (120km/h)", "End of all speed and passing limits") == 5
    assert cost("Wild animals crossing", "Bumpy road") == 1
    assert (costs.diagonal() == 0).all()


def test_the_first_rule_that_fits_counts() -> None:
    rules = (
        Rule(shown=("20",), taken_for=("30",), cost=2.0, why=""), Rule(shown=("20",), taken_for="any", cost=7.0, why="")
    )  # fmt: skip
    assert costs_of(Hazards(rules=rules), ("20", "30", "stop"))[0].tolist() == [0, 2, 7]


def test_only_a_faster_limit_has_a_cost_for_each_kmh() -> None:
    with pytest.raises(ValueError, match="cost_per_kmh: needs taken_for: faster"):
        Rule(shown=("stop",), taken_for="any", cost=1.0, cost_per_kmh=0.1, why="")


def test_a_class_that_is_not_there_is_named() -> None:
    with pytest.raises(EvaluationError, match="hazards: stop: no such class; the data set has a, b"):
        costs_of(STOP, ("a", "b"))


def test_costs_that_are_all_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="every confusion costs nothing"):
        Hazards(default_cost=0.0)


def test_the_mean_cost_is_a_sum_over_images() -> None:
    one = subject("A", 14.0, 15.0)
    section = hazard_section([one], STOP)
    grids = {block.name: block for block in section.blocks if isinstance(block, Grid)}
    row = next(row for row in grids["costs"].rows if row[0].text == "gaussian-max")
    total = [
        sum(10 if label == 0 else 1 for label, fine in zip(found.labels, found.right, strict=True) if not fine)
        for found in one.found["gaussian-max"]
    ]
    assert row[1].text == f"{np.mean(total) / 400:.3f}"
    worst = grids["costliest_A"].rows[0]
    assert (worst[0].text, worst[1].text, worst[2].text) == ("0 stop", "1 yield", "10")
    named = [
        found for variant in ("clean", "gaussian-min", "gaussian-avg", "gaussian-max") for found in one.found[variant]
    ]
    wrong = sum(int((~found.right & (found.labels == 0)).sum()) for found in named) / 2
    assert worst[3].text == f"{wrong:,.0f}"
    groups = {name for found in named for name in found.groups[~found.right & (found.labels == 0)]}
    assert worst[4].text == str(len(groups))


def test_the_page_says_what_a_confusion_costs_and_what_its_intervals_count() -> None:
    unknown = subject("A", 15.0)
    unknown = unknown._replace(
        found={variant: [replace(one, groups=None) for one in seeds] for variant, seeds in unknown.found.items()}
    )
    section = hazard_section([unknown], Hazards(default_cost=3.0))
    said = section.blocks[0]
    assert isinstance(said, Prose)
    assert said.items[0].startswith("A confusion costs 3 unless a rule below says otherwise")
    (grid,) = [block for block in section.blocks if isinstance(block, Grid) and block.name == "costs"]
    assert "by image, since the objects are unknown" in grid.caption
    assert not [block for block in section.blocks if isinstance(block, Prose) and not block.items]


def test_if_each_error_costs_one_the_mean_cost_is_the_share_of_errors() -> None:
    one = subject("A", 15.0)
    grids = [block for block in hazard_section([one], Hazards()).blocks if isinstance(block, Grid)]
    data = {row["variant"]: row["cost"] for row in grids[0].data.to_pylist()}
    assert data["gaussian-avg"] == pytest.approx(1 - one.found["gaussian-avg"][0].right.mean())


def test_seeds_that_differ_widen_the_interval() -> None:
    def width(subject: Subject) -> float:
        grids = [block for block in hazard_section([subject], Hazards()).blocks if isinstance(block, Grid)]
        row = next(row for row in grids[0].data.to_pylist() if row["variant"] == "gaussian-avg")
        return float(row["high"] - row["low"])

    one = subject("A", 15.0)
    same = one._replace(found={variant: seeds * 3 for variant, seeds in one.found.items()})
    assert width(same) == pytest.approx(width(one))
    assert width(subject("A", 9.0, 15.0, 21.0)) > 2 * width(one)
