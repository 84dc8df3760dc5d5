from pathlib import Path

import numpy as np

from pipelines.render.figures import noise_levels
from pipelines.store.schema import Cell
from pipelines.store.shown import Shown
from tests.reference.small_datasets import Small

SHOWN = {
    "clean": Shown(),
    "max-salt": Shown("gaussian", "min"),
    "second": Shown("gaussian", "max"),
    "gaussian-min": Shown("blur", "max"),
}
"""By variant; the names of the variants suggest other noises and levels."""


def test_noises_and_levels_are_those_in_the_manifests_not_in_the_names(tmp_path: Path) -> None:
    datasets = {variant: Small({"test": [[5]]}, [variant], fingerprint=shown.facts) for variant, shown in SHOWN.items()}
    folders = {
        variant: Cell("crop_or_pad", 4, variant).folder(data.write(tmp_path)) for variant, data in datasets.items()
    }
    figure = noise_levels(folders, "test")
    grid = [[axis.get_title() for axis in figure.axes[row : row + 3]] for row in (0, 3)]
    assert grid == [["clean", "max-salt", "second"], ["clean", "", "gaussian-min"]]
    ids = [f"test/{number:05d}" for number in range(5)]
    brightest = max(ids, key=lambda image_id: datasets["clean"].image("clean", image_id).sum(dtype=int))
    for axis in figure.axes:
        for picture in axis.images:
            expected = datasets[axis.get_title()].image(axis.get_title(), brightest)
            np.testing.assert_array_equal(picture.get_array(), expected)


def test_without_noises_there_is_one_row_with_the_clean_image(tmp_path: Path) -> None:
    folder = Cell("crop_or_pad", 4, "clean").folder(Small({"test": [[5]]}).write(tmp_path))
    assert [axis.get_title() for axis in noise_levels({"clean": folder}, "test").axes] == ["clean"]
