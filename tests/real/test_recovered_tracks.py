"""Tracks of a few classes of the real GTSRB, in the folder that ROADSIGN_REAL_DATA names."""

import os
from collections import Counter
from pathlib import Path

import pytest

from pipelines.datasets.gtsrb import Gtsrb
from pipelines.tracks.recovery import RecoverTracks, learn, measure, recover
from pipelines.tracks.views import read_views

pytestmark = pytest.mark.real

CLASSES = (0, 14, 26, 29, 40)


def test_tracks_of_a_few_classes() -> None:
    """Learned from few tracks, it is worse than what the whole set gives; chance is one in the number of tracks."""
    named = os.environ.get("ROADSIGN_REAL_DATA")
    if not named:
        pytest.skip("ROADSIGN_REAL_DATA is not set")
    source = Gtsrb(root=Path(named) / "GTSRB")
    settings = RecoverTracks(dataset=source, output=Path("none"), frames=30, folds=2, seed=0, at_least=0.95)
    images = [image for image in source.listing().images if image.label in CLASSES]
    training = read_views([image for image in images if image.split == "train"])
    measured = measure(settings, training)
    if len(training.images) > 60 * len(CLASSES):
        assert measured.overall is not None
        assert measured.overall.precision > 0.85
    test = read_views([image for image in images if image.split == "test"])
    assert set(Counter(recover(settings, test, learn(training))).values()) == {30}
