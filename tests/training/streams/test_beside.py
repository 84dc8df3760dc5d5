"""Batches of two data sets, beside the batches of each of them."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_datasets import CARD, Small
from small_runs import recipe, run_epochs, training

from pipelines.errors import StreamError
from training.classifiers.balance import class_counts
from training.classifiers.run import make_training, open_splits
from training.loop.ranks import Ranks
from training.streams.beside import Beside, Joined, open_beside
from training.streams.stream import Batches, Data, open_stream

CPU = torch.device("cpu")
TEN = CARD.model_copy(update={"class_names": CARD.class_names[:10], "hflip": {}, "vflip": {}})
SIZE, SHARE = 16, 0.375  # 6 images of 16


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("datasets")
    one = Small(parts={"train": [[40, 30], [24]], "validation": [[20]]}, size_px=8).write(root / "one")
    other = Small(parts={"train": [[30, 11]]}, size_px=8).write(root / "other")
    return one, other


def opened(roots: tuple[Path, Path], rank: int = 0, world_size: int = 1) -> tuple[Batches, Batches]:
    data, beside = Data(root=str(roots[0]), size_px=8), Beside(root=str(roots[1]), share=SHARE)
    one = open_stream(
        data, "train", seed=3, batch_size=SIZE - beside.images_of(SIZE), rank=rank, world_size=world_size, cache="host"
    )
    return one, open_beside(beside, data, one, "train", SIZE, "host", CPU)


def in_a_row(batches: Batches, whole: int, steps: int) -> list[list[str]]:
    """The ids of the whole batches of one pass after the other, `steps` of them or more."""
    passes = range(steps // whole + 1)
    return [batch.image_ids for number in passes for batch in [*batches.epoch(number)][:whole]]


@settings(max_examples=20, deadline=None)
@given(epoch=st.integers(0, 4), data=st.data())
def test_batches_are_those_of_both_in_a_row_from_any_step_on(
    roots: tuple[Path, Path], epoch: int, data: st.DataObject
) -> None:
    one, other = opened(roots)
    joined = Joined(one, other)
    steps, of_one, of_other = -(-94 // SIZE), 94 // 10, 41 // 6
    assert (len(joined), joined.images) == (steps, steps * SIZE)
    start = data.draw(st.integers(0, steps))
    found = [batch.image_ids for batch in joined.epoch(epoch, start)]
    now = slice(epoch * steps + start, (epoch + 1) * steps)
    assert [ids[:10] for ids in found] == in_a_row(one, of_one, now.stop)[now]
    assert [ids[10:] for ids in found] == in_a_row(other, of_other, now.stop)[now]


def test_images_and_labels_stay_together_and_no_row_is_padding(roots: tuple[Path, Path]) -> None:
    by_id = {}
    for batches in opened(roots):
        for batch in batches.epoch(0):
            for place, image_id in enumerate(batch.image_ids):
                by_id[batches.source.variants["clean"].folder, image_id] = batch.images[place], batch.labels[place]
    folders = [batches.source.variants["clean"].folder for batches in opened(roots)]
    for batch in Joined(*opened(roots)).epoch(1):
        assert batch.valid.all()
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        for place, image_id in enumerate(batch.image_ids):
            image, label = by_id[folders[place >= 10], image_id]
            assert torch.equal(batch.images[place], image) and batch.labels[place] == label


def test_two_ranks_together_see_each_image_once(roots: tuple[Path, Path]) -> None:
    seen = [
        image_id
        for rank in (0, 1)
        for batch in Joined(*opened(roots, rank, 2)).epoch(0)
        for image_id in batch.image_ids[:10]
    ]
    assert len(seen) == len(set(seen)) == 3 * 2 * 10


def test_counts_are_those_of_a_long_training(roots: tuple[Path, Path]) -> None:
    one, other = opened(roots)
    counts = torch.zeros(43, dtype=torch.float64)
    for epoch in range(200):
        for batch in Joined(one, other).epoch(epoch):
            counts += torch.bincount(batch.labels, minlength=43)
    expected = torch.tensor(class_counts(one, other), dtype=torch.float64)
    assert torch.allclose(counts / counts.sum(), expected / expected.sum(), atol=0.004)


def test_a_training_learns_from_both_and_goes_on_bit_for_bit(roots: tuple[Path, Path]) -> None:
    """With the labels of the other data set it has a loss that the first one alone does not have."""
    beside = recipe(roots[0], beside=Beside(root=str(roots[1]), share=SHARE), class_balance=0.5)
    whole, part, alone = training(beside), training(beside), training(recipe(roots[0]))
    run_epochs(whole, 2)
    run_epochs(part, 1)
    resumed = training(beside)
    resumed.load_state(part.state())
    run_epochs(resumed, 2)
    weights = [each.network.state_dict() for each in (whole, resumed, run_epochs(alone, 2))]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_bad_settings_are_named(roots: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(StreamError, match=r"beside.share=0.01: of batches of 16 images that is 0"):
        Beside(root="x", share=0.01).images_of(16)
    with pytest.raises(ValueError, match="weights must sum to 1"):
        Beside(root="x", mixture={"clean": 0.4})
    digits = Small(parts={"train": [[30]]}, size_px=8, card=TEN).write(tmp_path / "digits")
    ranks, settings = Ranks(CPU), recipe(roots[0], beside=Beside(root=str(digits)))
    with pytest.raises(StreamError, match="has other classes or channels than"):
        make_training(settings, ranks, *open_splits(settings, ranks))
