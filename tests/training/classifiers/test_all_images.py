"""Training on the images of both splits, for the final network of a recipe."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import recipe, run_epochs, stop_after, training, write_dataset

from pipelines.errors import SettingsError
from pipelines.settings import decisive_values, load
from training.classifiers.balance import class_counts
from training.classifiers.run import open_splits
from training.classifiers.settings import TrainClassifier
from training.loop.ranks import Ranks
from training.streams.stream import Data, open_stream

BOTH = ("train", "validation")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.mark.parametrize("cache", ["none", "host"])
def test_an_epoch_shows_each_image_of_both_splits_once(root: Path, cache: str) -> None:
    ranks = Ranks(torch.device("cpu"))
    train, validation = open_splits(recipe(root, train_on=BOTH, cache=cache), ranks)
    assert validation is None
    apart = [
        {image_id for batch in open_stream(Data(root=str(root), size_px=8), split, seed=0, batch_size=7).epoch(0)
         for image_id in batch.image_ids}
        for split in BOTH
    ]  # fmt: skip
    assert [len(ids) for ids in apart] == [94, 20]
    seen = [np.array(batch.image_ids)[batch.valid.numpy()] for batch in train.epoch(0)]
    assert sorted(np.concatenate(seen)) == sorted(apart[0] | apart[1])
    assert train.images == 114 and train.source.split == "train+validation"
    labels = torch.cat([batch.labels[batch.valid] for batch in train.epoch(0)])
    counts = np.bincount(labels.numpy())
    assert class_counts(train)[: len(counts)] == counts.tolist()


def test_verified_rows_are_those_of_both_splits(root: Path) -> None:
    data = Data(root=str(root), size_px=8, verify=True)
    assert open_stream(data, BOTH, seed=0, batch_size=7).images == 114


def test_there_are_no_metrics_of_validation(root: Path) -> None:
    trained = run_epochs(training(recipe(root, train_on=BOTH)), 2)
    assert not [name for name in trained.metrics if "validation" in name]
    assert trained.validation_accuracy is None and trained.best is None
    assert trained.classifier({}).network


@pytest.mark.parametrize("steps", [3, 8, 11])
def test_stopped_and_resumed_it_gives_the_same_bits(root: Path, steps: int) -> None:
    straight = run_epochs(training(recipe(root, train_on=BOTH)), 2)
    first = stop_after(training(recipe(root, train_on=BOTH)), steps)
    second = training(recipe(root, train_on=BOTH))
    second.load_state(first.state())
    run_epochs(second, 2)
    for one, other in zip(straight.network.state_dict().values(), second.network.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_it_has_a_fingerprint_of_its_own_and_leaves_older_ones_as_they_were(root: Path) -> None:
    plain, both = recipe(root), recipe(root, train_on=BOTH)
    assert "train_on" not in decisive_values(plain)
    assert plain.fingerprint({}, 1) != both.fingerprint({}, 1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train_on=[train,validation]", "keep=best"], r"keep: best needs validation images that train_on does"),
        (["train_on=[validation]"], r"train_on: \[train\] or \[train, validation\], got \['validation'\]"),
        (["train_on=[train,test]"], r"train_on"),
        (["train_on=[]"], r"train_on: \[train\] or \[train, validation\], got \[\]"),
    ],
)
def test_what_makes_no_sense_is_refused(repository: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(TrainClassifier, repository / "conf" / "train_classifier.yaml", overrides)
