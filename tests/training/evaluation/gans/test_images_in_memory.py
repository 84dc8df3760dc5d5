from pathlib import Path

import numpy as np
import pytest
import torch
from small_datasets import Small

from training.evaluation.classifiers.predicting import EvaluationError
from training.evaluation.gans.images_in_memory import EpochsInMemory, ImagesInMemory, read_images
from training.streams.stream import Data

SMALL = Small({"train": [[7, 6], [4]], "test": [[5]]}, size_px=4)


def held(count: int) -> ImagesInMemory:
    """Each image says its row."""
    rows = torch.arange(count)
    return ImagesInMemory(rows.to(torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2).clone(), rows, count, "0")


def test_a_split_is_read_whole_in_order_of_ids(tmp_path: Path) -> None:
    images = read_images(Data(root=str(SMALL.write(tmp_path)), size_px=4), "train")
    assert images.labels.tolist() == [number % 43 for number in range(17)]
    for number, pixels in enumerate(images.pixels):
        np.testing.assert_array_equal(pixels.permute(1, 2, 0).numpy(), SMALL.image("clean", f"train/{number:05d}"))


def test_images_that_are_no_uint8_are_refused(tmp_path: Path) -> None:
    root = Small({"test": [[3]]}, size_px=4, pixel_dtype="float32").write(tmp_path)
    with pytest.raises(EvaluationError, match="pixels are float32"):
        read_images(Data(root=str(root), size_px=4), "test")


def test_an_epoch_shows_every_image_once_and_each_epoch_in_another_order() -> None:
    epochs = EpochsInMemory(held(10), seed=1, batch_size=4)
    assert len(epochs) == 3
    orders = []
    for epoch in (0, 1, 0):
        batches = list(epochs.epoch(epoch))
        assert [int(batch.valid.sum()) for batch in batches] == [4, 4, 2]
        labels = torch.cat([batch.labels[batch.valid] for batch in batches])
        assert sorted(labels.tolist()) == list(range(10))
        for batch in batches:
            assert batch.images[:, 0, 0, 0].tolist() == batch.labels.tolist()
            assert batch.image_ids == [str(label) for label in batch.labels.tolist()]
        orders.append(labels.tolist())
    assert orders[0] == orders[2] != orders[1]
    (rest,) = epochs.epoch(0, start_step=2)
    assert rest.labels[rest.valid].tolist() == orders[0][8:]


def test_images_are_drawn_without_replacement_until_there_is_none_left() -> None:
    drawn = held(6).drawn(15, np.random.default_rng(0))
    assert sorted(drawn.labels[:6].tolist()) == sorted(drawn.labels[6:12].tolist()) == list(range(6))
    assert len(set(drawn.labels[12:].tolist())) == 3
    assert drawn.pixels[:, 0, 0, 0].tolist() == drawn.labels.tolist()
