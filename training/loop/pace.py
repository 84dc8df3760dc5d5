"""The speed of an epoch, and the share of time spent waiting for data."""

import time
from collections.abc import Callable, Iterable, Iterator

from training.streams.stream import Batch

__all__ = ["Pace"]


class Pace:
    """Timing of the batches since this object was made."""

    def __init__(self, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self.waited_s = 0.0
        self._clock_s = clock_s
        self._begun_s = clock_s()
        self._batches = 0

    def timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches; the time spent getting them counts as waiting."""
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
        """The metrics so far. With an asynchronous device, synchronize before calling this."""
        seconds = self._clock_s() - self._begun_s
        return {
            "images_per_s": self._batches * images_per_batch / seconds,
            "data_wait_share": self.waited_s / seconds,
        }
