from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import write_dataset

from pipelines.errors import StreamError
from training.streams.rounds import Rounds
from training.streams.stream import Batches, Data, open_stream

BATCH_SIZE, WHOLE = 16, 5  # of 94 images


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Batches:
    root = write_dataset(tmp_path_factory.mktemp("dataset"))
    return open_stream(Data(root=str(root), size_px=8), "train", seed=3, batch_size=BATCH_SIZE, cache="host")


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(1, 13), epoch=st.integers(0, 3), data=st.data())
def test_an_epoch_is_the_next_steps_of_the_passes_from_any_step_on(
    batches: Batches, steps: int, epoch: int, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, steps))
    rounds = Rounds(batches, steps)
    assert len(rounds) == steps
    found = [batch.image_ids for batch in rounds.epoch(epoch, start)]
    passes = range((epoch + 1) * steps // WHOLE + 1)
    in_a_row = [batch.image_ids for number in passes for batch in [*batches.epoch(number)][:WHOLE]]
    assert found == in_a_row[epoch * steps + start : (epoch + 1) * steps]


def test_batches_are_whole(batches: Batches) -> None:
    assert all(batch.valid.all() and len(batch.labels) == BATCH_SIZE for batch in Rounds(batches, 17).epoch(0))


def test_fewer_images_than_a_batch_are_refused(tmp_path: Path) -> None:
    root = write_dataset(tmp_path)
    few = open_stream(Data(root=str(root), size_px=8), "train", seed=3, batch_size=95)
    with pytest.raises(StreamError, match="batch_size=95: there are only 94 training images"):
        Rounds(few, 2)
