from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from attacked_predictions import predicted

from training.evaluation.classifiers.predicting import Predictions
from training.retraining.gate import SCHEMA, Decision, Gate, GateError, cells_of

IMAGES = 4000


def share(variant: str, right: float, shift: int = 0) -> Predictions:
    """That share of the images is right, from image number `shift` on."""
    rows = (np.arange(IMAGES) - shift) % IMAGES
    return predicted((rows < round(right * IMAGES)).tolist(), variant)


def cells(**right: float) -> dict[str, Predictions]:
    """By cell with _ for the hyphen."""
    return {name.replace("_", "-"): share(name.replace("_", "-"), value) for name, value in right.items()}


CHAMPION = cells(clean=0.96, gaussian_min=0.9, gaussian_max=0.5, fgsm_snr33=0.3)


def decide(gate: Gate | None = None, flags: Sequence[str] = (), **right: float) -> Decision:
    """Of a challenger that is as right as the champion where nothing else is given."""
    same = {name.replace("-", "_"): float(found.right.mean()) for name, found in CHAMPION.items()}
    return (gate or Gate()).decide(CHAMPION, cells(**{**same, **right}), flags)


def verdicts(decision: Decision) -> dict[str, str]:
    return {one.cell: one.verdict for one in decision.cells}


def test_a_challenger_that_is_better_somewhere_and_worse_nowhere_is_promoted() -> None:
    decision = decide(gaussian_max=0.52, clean=0.957)
    assert decision.promoted
    assert verdicts(decision) == {
        "clean": "no difference", "gaussian-min": "no difference", "gaussian-max": "better",
        "fgsm-snr33": "no difference",
    }  # fmt: skip
    assert decision.sentence == (
        "Promoted: better than the champion on 1 of 4 cells: gaussian-max (+2.00 points, p = 3e-24), and on none below "
        "it by more than 0.5 points. Clean accuracy 95.70% (the champion's 96.00%); lowest of 4 cells 30.00% on "
        "fgsm-snr33."
    )


def test_one_worse_cell_outweighs_better_ones() -> None:
    decision = decide(clean=0.99, gaussian_max=0.6, fgsm_snr33=0.26)
    assert not decision.promoted
    assert verdicts(decision)["fgsm-snr33"] == "worse"
    assert decision.sentence.startswith(
        "Not promoted: below the champion by more than 0.5 points on 1 of 4 cells: fgsm-snr33 (-4.00 points, p = "
    )


def test_the_margin_forgives_small_losses() -> None:
    for margin, promoted in ((0.0, False), (0.005, True)):
        decision = decide(Gate(margin=margin), clean=0.957, gaussian_max=0.55)
        assert decision.promoted is promoted
    assert "by any amount on 1 of 4 cells: clean (-0.30 points" in decide(Gate(margin=0.0), clean=0.957).sentence


def test_who_is_no_better_stays_challenger() -> None:
    decision = decide()
    assert decision.sentence.startswith(
        "Not promoted: not significantly better than the champion on any of 4 cells. Clean "
    )
    assert not decision.promoted
    assert [(one.p_worse, one.p_better) for one in decision.cells] == [(1.0, 1.0)] * 4


def test_a_flag_keeps_the_champion() -> None:
    decision = decide(flags=["the attack may be stuck", "another"], gaussian_max=0.6)
    assert not decision.promoted
    assert decision.flags == ("the attack may be stuck", "another")
    assert "the evaluation is unreliable (the attack may be stuck, and 1 more)" in decision.sentence


def test_the_first_challenger_is_decided_with_its_accuracy_in_a_sentence_and_a_table() -> None:
    """4.8 % is promoted where nobody is there, but not without a word."""
    decision = Gate().first(cells(clean=0.048, gaussian_max=0.02))
    assert decision.promoted
    assert decision.sentence == (
        "Promoted: there was no champion. Clean accuracy 4.80%; lowest of 2 cells 2.00% on gaussian-max."
    )
    assert decision.table.schema == SCHEMA
    rows = decision.table.to_pylist()
    assert [(row["cell"], row["images"], row["challenger"], row["verdict"]) for row in rows] == [
        ("clean", IMAGES, 0.048, "no champion"), ("gaussian-max", IMAGES, 0.02, "no champion"),
    ]  # fmt: skip
    assert {row[name] for row in rows for name in ("champion", "difference", "low", "p_better")} == {None}
    flagged = Gate().first(cells(clean=0.9), ["the attack may be stuck"])
    assert not flagged.promoted
    assert flagged.sentence.startswith("Not promoted: the evaluation is unreliable (the attack may be stuck). Cl")
    with pytest.raises(GateError, match="evaluated on clean images"):
        Gate().first(cells(gaussian_max=0.9))


def test_images_count_one_by_one_and_not_their_sums() -> None:
    """As many are right, but others: 2 · 400 disagreements, of which half are lost."""
    moved = {**CHAMPION, "clean": share("clean", 0.96, shift=400)}
    (clean, *_) = Gate().decide(CHAMPION, moved).cells
    assert clean.difference == 0
    assert clean.verdict == "no difference"
    assert clean.high - clean.low > 0.005
    assert (clean.p_better, clean.p_worse) > (0.5, 0.5)


def test_the_table_has_a_row_for_each_cell() -> None:
    decision = decide(gaussian_max=0.52)
    assert decision.table.schema == SCHEMA
    row = decision.table.to_pylist()[2]
    assert (row["cell"], row["images"], row["verdict"]) == ("gaussian-max", IMAGES, "better")
    assert (row["champion"], row["challenger"]) == (0.5, 0.52)
    assert row["difference"] == pytest.approx(0.02)
    assert row["low"] < 0.02 < row["high"]
    assert row["p_better"] == pytest.approx(0.5**80)
    assert row["p_better_corrected"] == pytest.approx(4 * 0.5**80)


def at_random(random: np.random.Generator, better: float) -> tuple[dict[str, Predictions], dict[str, Predictions]]:
    """Two networks on six cells of the same 500 images, each image as hard in all of them; they differ on a tenth."""
    names = ["clean", *(f"gaussian-{level}" for level in range(5))]
    hard = random.random(500)
    found: tuple[dict[str, Predictions], dict[str, Predictions]] = ({}, {})
    for name in names:
        luck = 0.8 * hard + 0.2 * random.random(500)
        champion, challenger = luck < 0.7, luck < 0.7
        draw = random.random(500)
        champion = np.where(draw < 0.1, draw < 0.05 - better / 2, champion)
        challenger = np.where(draw < 0.1, draw >= 0.05 - better / 2, challenger)
        found[0][name], found[1][name] = predicted(champion.tolist(), name), predicted(challenger.tolist(), name)
    return found


@pytest.mark.parametrize(("better", "wrong"), [(-0.02, "worse"), (0.0, "better")])
def test_chance_alone_seldom_decides(better: float, wrong: str) -> None:
    """Six cells that lie just at the margin, or at the champion's accuracy, in 80 drawn evaluations: without the
    correction some cell would be called worse, or better, in every fifth."""
    random = np.random.default_rng(7)
    decisions = [Gate(margin=0.02).decide(*at_random(random, better)) for _ in range(80)]
    called = [wrong in verdicts(decision).values() for decision in decisions]
    raw = [min(getattr(one, f"p_{wrong}") for one in decision.cells) < 0.05 for decision in decisions]
    assert np.mean(called) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 80)
    assert np.mean(raw) > 0.1


def test_unlike_evaluations_are_refused() -> None:
    clean = CHAMPION["clean"]
    others = {
        "shown images with other image_ids": replace(clean, image_ids=np.char.add(clean.image_ids, "x")),
        "other image_ids; evaluate both on one dataset": clean.at(clean.image_ids[:100]),
        "shown images with other labels": replace(clean, labels=clean.labels + 1),
    }
    for message, other in others.items():
        with pytest.raises(GateError, match=f"^clean: champion and challenger were .*{message}"):
            Gate().decide(CHAMPION, {**CHAMPION, "clean": other})
    fewer = {name: found for name, found in CHAMPION.items() if name != "gaussian-max"}
    with pytest.raises(GateError, match="the challenger was not evaluated on gaussian-max"):
        Gate().decide(CHAMPION, fewer)
    with pytest.raises(GateError, match="the champion was not evaluated on gaussian-max"):
        Gate().decide(fewer, CHAMPION)
    with pytest.raises(GateError, match="neither was evaluated on clean images"):
        Gate().decide({}, {})
    none = {"clean": clean.at(np.array([], clean.image_ids.dtype))}
    with pytest.raises(GateError, match="clean: no images"):
        Gate().decide(none, none)


def test_a_models_cells_are_without_images_made_against_others() -> None:
    transfer = "fgsm_transfer_0f3a5c7e9b1d-snr33"
    predictions = {
        ("old", "clean"): share("clean", 0.9),
        ("old", "fgsm-snr33"): share("fgsm-snr33", 0.5),
        ("old", transfer): replace(share("fgsm-snr33", 0.7), transfer=True),
        ("new", "clean"): share("clean", 0.8),
    }
    assert list(cells_of(predictions, "old")) == ["clean", "fgsm-snr33"]
    assert cells_of(predictions, "new")["clean"].right.mean() == 0.8


def test_a_p_that_no_float_holds_is_not_said_to_be_zero() -> None:
    decision = decide(fgsm_snr33=1.0)
    assert {one.cell: one.p_better for one in decision.cells}["fgsm-snr33"] == 0.0
    assert "fgsm-snr33 (+70.00 points, p < 1e-99)" in decision.sentence
