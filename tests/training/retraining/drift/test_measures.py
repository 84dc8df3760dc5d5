"""Drift against other libraries' values, and against images of which it is known whether they have drifted."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from training.evaluation.gans.distributions import kernel_distance
from training.retraining.drift.measures import SCHEMA, Drift, DriftError, Images, Report, discrepancy, psi, smirnov

QUICK = Drift(images=100, resamples=199, significance=0.05)


def drawn(seed: int, tracks: int = 150, frames: int = 3, shift: float = 0.0, **columns: Any) -> Images:
    """Each track's frames are alike; `shift` moves the features."""
    random = np.random.default_rng(seed)

    def column(values: np.ndarray, noise: float) -> np.ndarray:
        repeated = np.repeat(values, frames, axis=0).astype(float)
        return repeated + noise * random.normal(size=repeated.shape)

    given = {
        "tracks": np.repeat([f"{seed}/{track}" for track in range(tracks)], frames),
        "labels": np.repeat(random.choice(5, tracks, p=[0.4, 0.3, 0.15, 0.1, 0.05]), frames),
        "sizes_px": np.repeat(random.integers(25, 120, tracks), frames),
        "channels": column(random.normal(0.3, 0.1, (tracks, 6)), 0.001),
        "features": column(random.normal(0, 1, (tracks, 16)) + shift, 0.05),
    }
    return Images(**{**given, **columns})


def drifted(report: Report) -> set[str]:
    return {finding.what for finding in report.findings if finding.drifted}


@given(
    old=st.lists(st.integers(0, 6), min_size=1, max_size=60), new=st.lists(st.integers(0, 6), min_size=1, max_size=60)
)
@settings(deadline=None)
def test_the_stability_index_is_that_of_a_plain_loop(old: list[int], new: list[int]) -> None:
    classes = set(old) | set(new)
    counts = Counter(old), Counter(new)
    shares = [
        {label: (of[label] + 0.5) / (len(labels) + 0.5 * len(classes)) for label in classes}
        for of, labels in zip(counts, (old, new), strict=True)
    ]
    expected = sum(
        (shares[1][label] - shares[0][label]) * np.log(shares[1][label] / shares[0][label]) for label in classes
    )
    assert psi(np.array(old), np.array(new)) == pytest.approx(expected, abs=1e-12)
    assert psi(np.array(old), np.array(old)) == 0


@given(seed=st.integers(0, 1000), ties=st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_distance_of_numbers_is_scipys(seed: int, ties: bool) -> None:
    """Not of one number and one other: there SciPy divides by zero on its way to a p."""
    random = np.random.default_rng(seed)
    old, new = random.normal(size=(random.integers(1, 40), 3)), random.normal(size=(random.integers(2, 40), 3))
    if ties:
        old, new = old.round(), new.round()
    expected = max(ks_2samp(old[:, column], new[:, column], method="asymp").statistic for column in range(3))
    assert smirnov(old, new) == pytest.approx(expected)


def test_the_discrepancy_is_that_of_a_plain_loop() -> None:
    random = np.random.default_rng(1)
    kernel = random.random((9, 9))
    kernel = kernel + kernel.T
    old, new = np.array([0, 3, 5, 8]), np.array([1, 2, 7])
    within = sum(np.mean([kernel[a, b] for a in rows for b in rows if a != b]) for rows in (old, new))
    between = np.mean([kernel[a, b] for a in old for b in new])
    assert discrepancy(kernel, old, new) == pytest.approx(within - 2 * between)


def test_the_embeddings_distance_is_kids_in_units_of_the_training_images() -> None:
    old, new = drawn(1, 80, 1), drawn(2, 80, 1, shift=0.3)
    *_, embedding = QUICK.compare(old, new).findings
    scale = np.sqrt(np.mean(old.features**2))
    kid = kernel_distance(new.features / scale, old.features / scale, np.random.default_rng(0), subsets=1)
    assert embedding.value == pytest.approx(kid.mean)


def test_more_images_of_the_same_kind_are_no_drift() -> None:
    report = QUICK.compare(drawn(1), drawn(2))
    assert not report.drifted
    assert report.sentence == "No drift: 100 new images compared with 100 of the training set."
    assert all(finding.p > 0.01 for finding in report.findings)
    assert [finding.what for finding in report.findings] == ["classes", "sizes", "channels", "embedding"]


@pytest.mark.parametrize(
    ("what", "new"),
    [
        ("classes", drawn(2, labels=np.repeat(np.arange(150) % 5, 3))),
        ("sizes", drawn(2, sizes_px=np.repeat(np.random.default_rng(3).integers(25, 60, 150), 3))),
        ("channels", drawn(2, channels=drawn(2).channels * [1, 1, 1, 1, 1, 0.6])),
        ("embedding", drawn(2, shift=0.8)),
    ],
)
def test_each_kind_of_drift_is_found_and_no_other(what: str, new: Images) -> None:
    report = QUICK.compare(drawn(1), new)
    assert drifted(report) == {what}
    assert report.sentence.startswith(f"Drift in {what} (")
    (row,) = [row for row in report.table.to_pylist() if row["what"] == what]
    assert report.table.schema == SCHEMA
    assert row["value"] >= row["bound"]
    assert row["p"] == pytest.approx(1 / 200)


def test_a_small_shift_is_seen_but_is_no_drift_below_its_bound() -> None:
    narrower = drawn(2, sizes_px=np.repeat(np.random.default_rng(3).integers(25, 60, 150), 3))
    (finding,) = [
        one
        for one in QUICK.model_copy(update={"size_ks": 0.9}).compare(drawn(1), narrower).findings
        if one.what == "sizes"
    ]
    assert finding.p_corrected < 0.05
    assert not finding.drifted


def test_frames_of_one_track_are_one_image() -> None:
    """Thirty frames of each of four signs: as single images they would differ beyond all doubt."""
    report = QUICK.compare(drawn(1, tracks=4, frames=30), drawn(2, tracks=4, frames=30))
    assert (report.old, report.new) == (4, 4)
    assert not report.drifted
    alone = [drawn(seed, tracks=4, frames=30) for seed in (1, 2)]
    single = [images._replace(tracks=np.arange(120).astype(str)) for images in alone]
    assert QUICK.compare(*single).drifted


def test_p_is_uniform_where_there_is_no_drift() -> None:
    """As a p must be: of 40 pairs of the same kind, about a tenth is below 0.1."""
    settings = Drift(images=30, resamples=99, significance=0.05)
    below = [
        [finding.p <= 0.1 for finding in settings.compare(drawn(seed, 30, 1), drawn(seed + 1, 30, 1)).findings]
        for seed in range(100, 180, 2)
    ]
    assert 0.02 <= np.mean(below) <= 0.2


def test_settings_under_which_nothing_could_drift_are_refused() -> None:
    with pytest.raises(ValueError, match=r"resamples=99: no p could be significant; use 400 or more"):
        Drift(resamples=99)


def test_the_same_seed_gives_the_same_report() -> None:
    assert QUICK.compare(drawn(1), drawn(2)) == QUICK.compare(drawn(1), drawn(2))
    assert QUICK.compare(drawn(1), drawn(2)) != QUICK.model_copy(update={"seed": 1}).compare(drawn(1), drawn(2))


def test_images_that_cannot_be_compared_are_refused() -> None:
    old = drawn(1)
    infinite = old.features.copy()
    infinite[7, 3] = np.inf
    refused = {
        "features of the new images are not finite": old._replace(features=infinite),
        r"features of the new images: \(450, 15\)": old._replace(features=old.features[:, 1:]),
        r"labels of the new images: \(449,\)": old._replace(labels=old.labels[1:]),
        "100 and 1 groups are too few": old.at(np.array([0, 1])),
    }
    for message, new in refused.items():
        with pytest.raises(DriftError, match=message):
            QUICK.compare(old, new)
    with pytest.raises(DriftError, match="features of the training images are not finite"):
        QUICK.compare(old._replace(features=infinite), old)


def test_sizes_that_the_source_does_not_annotate_are_not_compared_and_the_report_says_so() -> None:
    none = np.zeros(450, np.int64)
    report = QUICK.compare(drawn(1, sizes_px=none), drawn(2, shift=1.0))
    assert [finding.what for finding in report.findings] == ["classes", "channels", "embedding"]
    assert drifted(report) == {"embedding"}
    assert report.sentence.endswith("Sizes were not compared: the source does not annotate them.")
    assert "Sizes" not in QUICK.compare(drawn(1), drawn(2)).sentence
