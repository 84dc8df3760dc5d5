"""Tracks are recovered from drawn images of known tracks, and the measure of it is that of another library."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fake_gtsrb import make_images, write_kaggle, write_official, write_zips
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.cluster import pair_confusion_matrix
from synthetic_tracks import FRAMES, make_tracks

from pipelines.datasets.gtsrb import Gtsrb
from pipelines.errors import SourceError
from pipelines.tracks.agreement import agreement
from pipelines.tracks.recovery import RecoverTracks, learn, measure, recover, source_digest
from pipelines.tracks.views import Views, read_views


def recovery(root: Path, frames: int = FRAMES, folds: int = 2) -> RecoverTracks:
    source = Gtsrb(root=root, allow_missing_classes=True)
    return RecoverTracks(
        dataset=source, output=root / "groups.parquet", frames=frames, folds=folds, seed=0, at_least=0.95
    )


def views(settings: RecoverTracks) -> tuple[Views, Views]:
    training, test = settings.chosen(settings.dataset.listing())
    return read_views(training), read_views(test)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[RecoverTracks, Views, Views, dict[str, int]]:
    root = tmp_path_factory.mktemp("drawn")
    images, known = make_tracks()
    write_official(root, images)
    settings = recovery(root)
    return settings, *views(settings), known


def test_tracks_are_recovered(drawn: tuple[RecoverTracks, Views, Views, dict[str, int]]) -> None:
    settings, training, test, known = drawn
    names = recover(settings, test, learn(training))
    assert set(Counter(names).values()) == {FRAMES}
    truth = [str(known[image.image_id]) for image in test.images]
    found = agreement(names, truth)
    assert found.precision == found.recall
    assert found.precision > 0.95
    assert {name.split("/")[1] for name in names} == {"00003", "00014"}
    assert names[0].endswith("/000"), "the first group has the first image"


def test_without_a_sign_to_learn_from_the_measure_says_so(
    drawn: tuple[RecoverTracks, Views, Views, dict[str, int]],
) -> None:
    """Frames dealt to tracks at random are not recovered, and the measure must say that."""
    settings, training, _, _ = drawn
    rng = np.random.default_rng(0)
    dealt = {label: rng.permutation(np.flatnonzero(training.labels == label)) for label in (3, 14)}
    images = list(training.images)
    for label, rows in dealt.items():
        for place, row in enumerate(rows):
            images[row] = images[row]._replace(group=f"{label:05d}/{place // FRAMES:05d}")
    measured = measure(settings, training._replace(images=images))
    assert measured.overall is not None
    assert measured.overall.precision < 0.7


def test_the_measure_is_of_every_whole_track_and_deterministic(
    drawn: tuple[RecoverTracks, Views, Views, dict[str, int]],
) -> None:
    settings, training, _, _ = drawn
    measured = measure(settings, training)
    assert measured.overall is not None
    assert (measured.overall.groups, measured.overall.images) == (8, 8 * FRAMES)
    assert measured.overall.precision > 0.95
    assert set(measured.by_class) == {3, 14}
    assert measured == measure(settings, training)
    shorter = training.of(np.arange(1, len(training.images)))
    measured = measure(settings, shorter)
    assert "1 training tracks do not have 30 frames" in " ".join(measured.sentences())


def test_nothing_is_measured_where_no_class_has_two_tracks_in_a_part(
    drawn: tuple[RecoverTracks, Views, Views, dict[str, int]],
) -> None:
    settings, training, _, _ = drawn
    measured = measure(settings.model_copy(update={"folds": 4}), training)
    assert measured.overall is None
    assert "not measured: no class has two whole tracks in one of 4 parts" in list(measured.sentences())


def test_layouts_have_one_digest_and_other_pixels_another(tmp_path: Path) -> None:
    images = make_images(labels=(3,), tests=6)
    digests = set()
    for name, write in {"official": write_official, "zips": write_zips, "kaggle": write_kaggle}.items():
        write(tmp_path / name, images)
        digests.add(source_digest(views(recovery(tmp_path / name, frames=3))[1]))
    changed = [*images[:-1], images[-1]._replace(pixels=images[-1].pixels ^ 1)]
    write_official(tmp_path / "changed", changed)
    assert len(digests) == 1
    assert source_digest(views(recovery(tmp_path / "changed", frames=3))[1]) not in digests


def test_a_class_that_is_no_multiple_is_refused_by_name(tmp_path: Path) -> None:
    images, _ = make_tracks(training=1, tests=1)
    write_official(tmp_path, images[:-1])
    label = images[-1].label
    with pytest.raises(SourceError, match=f"class {label} .* has 29 test images, not a multiple of the 30 frames"):
        recovery(tmp_path).chosen(recovery(tmp_path).dataset.listing())


def test_an_image_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    images, _ = make_tracks(training=1, tests=1)
    write_official(tmp_path, images)
    path = tmp_path / "Final_Test" / "Images" / "00007.ppm"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(SourceError, match=r"00007\.ppm: truncated.*fetch"):
        views(recovery(tmp_path))


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz")), min_size=1, max_size=40))
def test_agreement_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    recovered, known = (list(names) for names in zip(*pairs, strict=True))
    found = agreement(recovered, known)
    (_, false), (missed, true) = pair_confusion_matrix(known, recovered)
    assert found.precision == pytest.approx(true / (true + false) if true + false else 1)
    assert found.recall == pytest.approx(true / (true + missed) if true + missed else 1)
    members = {name: {place for place, own in enumerate(recovered) if own == name} for name in recovered}
    truth = {name: {place for place, own in enumerate(known) if own == name} for name in known}
    most = sum(max(len(own & other) for other in truth.values()) for own in members.values())
    assert found.purity == pytest.approx(most / len(pairs))
    assert found.exact == sum(own in members.values() for own in truth.values())
