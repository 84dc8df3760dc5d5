from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from attacked_predictions import predicted

from training.evaluation.classifiers.predicting import Predictions
from training.retraining.decision import SCHEMA, Decision, document
from training.retraining.gate import Gate, GateError

IMAGES = 4000


def share(variant: str, right: float, shift: int = 0, frames: int = 1) -> Predictions:
    """That share of the images is right, from image number `shift` on; `frames` in a row show one sign."""
    rows = (np.arange(IMAGES) - shift) % IMAGES
    groups = (np.arange(IMAGES) // frames).astype(str)
    return replace(predicted((rows < round(right * IMAGES)).tolist(), variant), groups=groups)


def cells(**right: float) -> dict[str, Predictions]:
    """By cell with _ for the hyphen."""
    return {name.replace("_", "-"): share(name.replace("_", "-"), value) for name, value in right.items()}


CHAMPION = cells(clean=0.96, gaussian_min=0.9, gaussian_max=0.5, fgsm_snr33=0.3)


def decide(gate: Gate | None = None, flags: Sequence[str] = (), **right: float) -> Decision:
    """Of a challenger that is as right as the champion where nothing else is given."""
    same = {name.replace("-", "_"): float(found.right.mean()) for name, found in CHAMPION.items()}
    return (gate or Gate()).decide([CHAMPION], [cells(**{**same, **right})], flags)


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
        "Promoted: better than the champion on 1 of 4 cells: gaussian-max (+2.00 points, p = 0.0002), and on none "
        "below it by more than 0.5 points. Clean accuracy 95.70% (the champion's 96.00%); lowest of 4 cells 30.00% on "
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


def test_a_challenger_that_is_not_better_stays_challenger() -> None:
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


def test_all_reasons_for_a_refusal_are_named() -> None:
    decision = decide(flags=["the attack may be stuck"], clean=0.9)
    assert [reason.split("(")[0] for reason in decision.reasons] == [
        "below the champion by more than 0.5 points on 1 of 4 cells: clean ",
        "the evaluation is unreliable ",
        "not significantly better than the champion on any of 4 cells",
    ]
    assert decision.sentence.startswith(f"Not promoted: {'; '.join(decision.reasons)}. Clean accuracy 90.00%")


def test_a_weak_first_network_is_refused_with_the_table_of_every_decision() -> None:
    decision = Gate().decide(None, [cells(clean=0.048, gaussian_max=0.02)])
    assert not decision.promoted
    assert decision.sentence.startswith("Not promoted: the 95 % interval of the accuracy on clean images, 4.18% to 5.")
    assert (
        "is not above gate.minimum_accuracy=0.8. Clean accuracy 4.80%; lowest of 2 cells 2.00% on" in decision.sentence
    )
    assert decision.table.schema == SCHEMA
    rows = decision.table.to_pylist()
    assert [(row["cell"], row["images"], row["challenger"], row["verdict"]) for row in rows] == [
        ("clean", IMAGES, 0.048, "below the minimum"), ("gaussian-max", IMAGES, 0.02, "no champion"),
    ]  # fmt: skip
    assert {row[name] for row in rows for name in ("champion", "difference", "low", "p_better")} == {None}
    assert all(row["challenger_low"] < row["challenger"] < row["challenger_high"] for row in rows)


def test_the_minimum_is_met_by_the_lower_end_of_an_interval_that_counts_signs() -> None:
    """81.5 % of 4,000 images are clearly above 80 %, those of 133 signs are not."""
    for frames, promoted in ((1, True), (30, False)):
        (cell,) = Gate().decide(None, [{"clean": share("clean", 0.815, frames=frames)}]).cells
        assert (cell.challenger_low > 0.8) is promoted
        assert (cell.verdict == "no champion") is promoted
        assert cell.groups == -(-IMAGES // frames)
        assert cell.unit == ("image" if frames == 1 else "group")
    decision = Gate().decide(None, [cells(clean=0.9, gaussian_max=0.1)])
    assert decision.sentence.startswith("Promoted: there was no champion. Clean accuracy 90.00%; lowest of 2 cells")
    assert Gate(minimum_accuracy=0.0).decide(None, [cells(clean=0.05)]).promoted
    flagged = Gate().decide(None, [cells(clean=0.9)], ["the attack may be stuck"])
    assert not flagged.promoted
    assert flagged.sentence.startswith("Not promoted: the evaluation is unreliable (the attack may be stuck). Cl")
    with pytest.raises(GateError, match="evaluated on clean images"):
        Gate().decide(None, [cells(gaussian_max=0.9)])


def test_a_gain_on_a_few_signs_does_not_count() -> None:
    """100 images more are right: each of another sign, or all frames of four."""
    for frames, verdict in ((1, "better"), (25, "no difference")):
        before, after = ({"clean": share("clean", right, frames=frames)} for right in (0.9, 0.925))
        (cell,) = Gate().decide([before], [after]).cells
        assert cell.difference == pytest.approx(0.025)
        assert cell.verdict == verdict
        assert cell.design_effect == pytest.approx(frames, rel=0.05)


def test_seeds_count_by_their_mean_and_their_spread() -> None:
    """The mean of the challenger's seeds is above the champion's, by less than seeds of one recipe differ."""
    for other, verdict in ((0.5, "no difference"), (0.595, "better")):
        decision = Gate().decide(
            [cells(clean=0.9, gaussian_max=0.5), cells(clean=0.9, gaussian_max=0.49)],
            [cells(clean=0.9, gaussian_max=0.6), cells(clean=0.9, gaussian_max=other)],
        )
        cell = decision.named("gaussian-max")
        assert (cell.champion, cell.challenger) == pytest.approx((0.495, (0.6 + other) / 2))
        assert (cell.champion_seeds, cell.challenger_seeds, cell.verdict) == (2, 2, verdict)
        assert decision.notes == ()


def test_limits_of_a_decision_are_recorded() -> None:
    one, two = [cells(clean=0.9)], [cells(clean=0.9), cells(clean=0.91)]
    assert "one seed on each side" in Gate().decide(one, one).notes[0]
    assert "one side has a single seed" in Gate().decide(one, two).notes[0]
    assert "one side has a single seed" in Gate().decide(two, one).notes[0]
    assert "is not known which images the champion was trained on" in Gate().decide(two, two, (), None).notes[0]


def test_signs_that_the_champion_was_trained_on_are_left_out() -> None:
    before, after = ([{"clean": share("clean", right, frames=10)}] for right in (0.9, 0.95))
    known = frozenset(before[0]["clean"].image_ids[3800::10])
    decision = Gate().decide(before, after, (), known)
    (cell,) = decision.cells
    assert (cell.images, cell.groups) == (3800, 380)
    assert (cell.champion, cell.challenger) == (3600 / 3800, 1.0)
    assert "20 groups were left out, since the champion was trained on them" in decision.notes
    with pytest.raises(GateError, match="clean: the champion was trained on all signs"):
        Gate().decide(before, after, (), frozenset(before[0]["clean"].image_ids))


def test_a_decision_needs_to_know_which_images_show_one_sign() -> None:
    unknown = [{"clean": replace(share("clean", 0.9), groups=None)}]
    for champion in (unknown, None):
        with pytest.raises(GateError, match=r"clean: it is not known which images show one sign.*use split=validation"):
            Gate().decide(champion, unknown)


def test_the_same_comparison_has_the_same_document() -> None:
    def written() -> bytes:
        before, after = ([cells(clean=0.9 + more, gaussian_max=0.5 - more) for more in (0, 0.013)] for _ in range(2))
        return document(Gate().decide(before, after), {"code": "c0de"})

    assert written() == written()


def test_images_are_compared_one_by_one_not_by_their_sums() -> None:
    """As many are right, but others: 2 · 400 disagreements, of which half are lost."""
    moved = {**CHAMPION, "clean": share("clean", 0.96, shift=400)}
    (clean, *_) = Gate().decide([CHAMPION], [moved]).cells
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
    assert row["p_better"] == pytest.approx(1 / 20_000), "no drawn change of signs reaches it"
    assert row["p_better_corrected"] == pytest.approx(4 / 20_000)


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
        found[0][name], found[1][name] = (
            replace(predicted(right.tolist(), name), groups=np.arange(500).astype(str))
            for right in (champion, challenger)
        )
    return found


@pytest.mark.parametrize(("better", "wrong"), [(-0.02, "worse"), (0.0, "better")])
def test_chance_alone_seldom_decides(better: float, wrong: str) -> None:
    """Six cells that lie just at the margin, or at the champion's accuracy, in 80 drawn evaluations: without the
    correction some cell would be called worse, or better, in every fifth."""
    random = np.random.default_rng(7)
    decisions = [Gate(margin=0.02).decide(*([one] for one in at_random(random, better))) for _ in range(80)]
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
            Gate().decide([CHAMPION], [{**CHAMPION, "clean": other}])
    fewer = {name: found for name, found in CHAMPION.items() if name != "gaussian-max"}
    with pytest.raises(GateError, match="the challenger was not evaluated on gaussian-max"):
        Gate().decide([CHAMPION], [fewer])
    with pytest.raises(GateError, match="the champion was not evaluated on gaussian-max"):
        Gate().decide([fewer], [CHAMPION])
    with pytest.raises(GateError, match="neither was evaluated on clean images"):
        Gate().decide([{}], [{}])
    none = {"clean": clean.at(np.array([], clean.image_ids.dtype))}
    with pytest.raises(GateError, match="clean: no images"):
        Gate().decide([none], [none])
