"""How fast an epoch goes, and how much of it is waiting for data."""

import time
from collections.abc import Callable, Iterable, Iterator

from training.streams.stream import Batch

__all__ = ["Pace"]


class Pace:
    """Of the batches taken since it was made."""

    def __init__(self, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self.waited_s = 0.0
        self._clock_s = clock_s
        self._begun_s = clock_s()
        self._batches = 0

    def timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches; what it takes to get them counts as waiting."""
        waiting = iter(batches)
        while True:
            start = self._clock_s()
            batch = next(waiting, None)
            self.waited_s += self._clock_s() - start
            if batch is None:
                return
            self._batches += 1
            yield batch

    def metrics(self, images_per_batch: int) -> dict[str, float]:
        """Up to now; whoever computes on another device has to have waited for it."""
        seconds = self._clock_s() - self._begun_s
        return {
            "images_per_s": self._batches * images_per_batch / seconds,
            "data_wait_share": self.waited_s / seconds,
        }
