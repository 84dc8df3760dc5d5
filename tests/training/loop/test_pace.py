from collections.abc import Iterator

import torch

from training.loop.pace import Pace
from training.streams.stream import Batch

BATCH = Batch([], torch.empty(0), torch.empty(0), torch.empty(0))


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def slow(clock: Clock, batches: int) -> Iterator[Batch]:
    for _ in range(batches):
        clock.now_s += 1.0
        yield BATCH


def test_time_to_get_batches_is_waiting_and_time_to_use_them_is_not() -> None:
    clock = Clock()
    pace = Pace(clock)
    for batch in pace.timed(slow(clock, 4)):
        assert batch is BATCH
        clock.now_s += 3.0
    assert pace.waited_s == 4.0
    assert pace.metrics(32) == {"images_per_s": 8.0, "data_wait_share": 0.25}


def test_an_unfinished_epoch_counts_its_batches_so_far() -> None:
    clock = Clock()
    pace = Pace(clock)
    batches = pace.timed(slow(clock, 4))
    next(batches)
    next(batches)
    clock.now_s += 2.0
    assert pace.metrics(6) == {"images_per_s": 3.0, "data_wait_share": 0.5}
