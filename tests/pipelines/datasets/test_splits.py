import random
from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.datasets import SourceImage
from pipelines.datasets.splits import find_duplicates, training_groups, validation_groups

QUICK = settings(max_examples=30, derandomize=True, deadline=None)


def _train(label: int, track: int, frame: int) -> SourceImage:
    name = f"{label:05d}/{track:05d}"
    return SourceImage(f"train/{name}_{frame:05d}", label, "train", name, "", "a.ppm")


def _test(number: int, label: int = 0) -> SourceImage:
    return SourceImage(f"test/{number:05d}", label, "test", None, "", "a.ppm")


def _tracks(tracks_per_label: Sequence[int], frames: int = 3) -> list[SourceImage]:
    return [
        _train(label, track, frame)
        for label, tracks in enumerate(tracks_per_label)
        for track in range(tracks)
        for frame in range(frames)
    ]


IMAGES = [*_tracks([10, 20, 7, 2, 1]), _test(0), _test(1)]


@pytest.mark.parametrize(
    ("fraction", "expected"), [(0.2, [2, 4, 1, 1, 0]), (0.5, [5, 10, 4, 1, 0]), (0.9, [9, 18, 6, 1, 0])]
)
def test_validation_takes_its_fraction_of_every_class(fraction: float, expected: list[int]) -> None:
    """Stratified: a fraction of each class's tracks, at least one but never all of them, and none of a single track."""
    chosen = validation_groups(IMAGES, fraction, seed=0)
    per_label = Counter(int(track.partition("/")[0]) for track in chosen)
    assert [per_label[label] for label in range(5)] == expected


@QUICK
@given(
    tracks=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    fraction=st.floats(0.001, 0.999),
    seed=st.integers(0, 9),
)
def test_every_class_with_at_least_two_tracks_is_in_both_splits(tracks: list[int], fraction: float, seed: int) -> None:
    """Whole tracks, with at least one in validation and one in train for any fraction."""
    chosen = validation_groups(_tracks(tracks), fraction, seed)
    sides: defaultdict[int, Counter[bool]] = defaultdict(Counter)
    for image in _tracks(tracks):
        sides[image.label][image.group in chosen] += 1
    for label, count in enumerate(tracks):
        if count >= 2:
            assert sides[label][True] >= 3 and sides[label][False] >= 3
        assert sides[label][True] % 3 == 0
        assert sides[label][True] / 3 == (0 if count < 2 else min(max(1, round(fraction * count)), count - 1))


def test_validation_has_existing_tracks_and_no_test_image() -> None:
    """Test images have no track and stay in test."""
    assert validation_groups(IMAGES, 0.5, seed=0) < {image.group for image in IMAGES if image.group}
    assert validation_groups([_test(0), _test(1)], 0.5, seed=0) == frozenset()


def test_a_fraction_of_zero_gives_no_validation() -> None:
    """With fraction 0, no track is chosen."""
    assert validation_groups(IMAGES, 0.0, seed=0) == frozenset()


def test_only_the_seed_decides() -> None:
    """The same seed chooses the same tracks for any order of the images; other seeds choose other tracks."""
    chosen = [validation_groups(IMAGES, 0.5, seed) for seed in range(5)]
    assert len(set(chosen)) == 5
    for order in range(3):
        shuffled = random.Random(order).sample(IMAGES, len(IMAGES))
        assert validation_groups(shuffled, 0.5, seed=0) == chosen[0]


def test_the_split_of_a_class_does_not_depend_on_other_classes() -> None:
    """The choice of tracks in a class is the same with and without the other classes."""
    alone = validation_groups([image for image in IMAGES if image.label == 1], 0.2, seed=0)
    assert alone == {track for track in validation_groups(IMAGES, 0.2, seed=0) if track.startswith("00001/")}


def test_the_split_of_seed_0_has_not_changed() -> None:
    """The split is part of the data set, so a change of the rule would change every data set."""
    assert sorted(validation_groups(_tracks([6, 3]), 0.34, seed=0)) == ["00000/00000", "00000/00005", "00001/00002"]


def test_excluded_tracks_are_replaced_by_others() -> None:
    """As many tracks as before, none of them in `never`; if all are, the class has no validation."""
    before = validation_groups(IMAGES, 0.2, seed=0)
    after = validation_groups(IMAGES, 0.2, seed=0, never=before)
    # label 3 has two tracks, one of them forbidden: the other is taken
    assert len(after) == len(before) and not after & before
    everything = frozenset(image.unit for image in IMAGES)
    assert validation_groups(IMAGES, 0.2, seed=0, never=everything) == frozenset()
    first = frozenset(track for track in everything if track.startswith("00000/"))
    assert {track[:5] for track in validation_groups(IMAGES, 0.2, seed=0, never=first)} == {"00001", "00002", "00003"}


def test_distinct_images_have_no_duplicates() -> None:
    """Only pixel-identical images are grouped."""
    found = find_duplicates(IMAGES, {image.image_id: image.image_id.encode() for image in IMAGES})
    assert found == (0, 0, [], frozenset())


def test_duplicates_are_distinguished_by_the_location_of_their_copies() -> None:
    """Duplicates within a track are harmless; tracks with duplicates elsewhere must not be in validation."""
    images = [
        *(_train(0, 0, frame) for frame in range(3)), *(_train(0, track, 0) for track in (1, 2, 3, 4, 5)),
        _train(1, 0, 0), *(_test(number) for number in range(5)),
    ]  # fmt: skip
    same = [
        {"train/00000/00000_00000", "train/00000/00000_00002"},  # within a track
        {"train/00000/00001_00000", "train/00000/00002_00000"},  # across tracks
        {"train/00000/00003_00000", "test/00001", "test/00000"},  # across train and test
        {"train/00000/00004_00000", "train/00001/00000_00000", "test/00002"},  # two tracks and test
        {"test/00003", "test/00004"},  # within test
    ]
    digests = {image.image_id: image.image_id.encode() for image in images}
    for number, group in enumerate(same):
        digests |= dict.fromkeys(group, str(number).encode())
    found = find_duplicates(images, digests)
    assert (found.groups, found.images) == (5, 2 + 2 + 3 + 3 + 2)
    assert found.across_splits == [
        ["test/00000", "test/00001", "train/00000/00003_00000"],
        ["test/00002", "train/00000/00004_00000", "train/00001/00000_00000"],
    ]
    assert found.shared == {"00000/00001", "00000/00002", "00000/00003", "00000/00004", "00001/00000"}
    assert find_duplicates(images[::-1], digests) == found


@QUICK
@given(
    tracks=st.lists(st.integers(1, 40), min_size=1, max_size=6), less=st.floats(0.01, 1), more=st.floats(0.01, 1),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_a_fraction_of_the_training_groups_is_kept(tracks: list[int], less: float, more: float, seed: int) -> None:
    """Of each class, at least one, none of validation, and those of a smaller fraction among those of a larger one."""
    less, more = sorted((less, more))
    images = _tracks(tracks)
    validation = validation_groups(images, 0.2, seed)
    few, many = (training_groups(images, fraction, seed, validation) for fraction in (less, more))
    assert few <= many and not many & validation
    for label, count in enumerate(tracks):
        left = count - sum(group.startswith(f"{label:05d}/") for group in validation)
        assert sum(group.startswith(f"{label:05d}/") for group in few) == max(1, round(less * left))
    everything = {image.unit for image in images}
    assert training_groups(images, 1.0, seed, validation) == everything - validation
