"""When the next batch is due, and the loop that waits for it."""

import time
from collections.abc import Callable

from pydantic import Field

from pipelines.settings import Settings
from training.retraining.journal import Attempt
from training.retraining.lease import Clock

__all__ = ["Schedule"]

LONGEST_SLEEP_S = 60.0
"""Seconds between readings of the clock, which may jump when a machine is suspended or its time is set."""
SHORTEST_PAUSE_S = 60.0
"""Seconds from a batch that could not be recorded, or that another process runs, to the next attempt."""


class Schedule(Settings):
    """A batch every `every_h` hours, from start to start."""

    every_h: float = Field(default=24.0, gt=0)

    def due(self, last: Attempt | None, now: float) -> float:
        """Immediately if there was no batch, or if the last one was killed; after several missed batches, one is
        due."""
        if last is None or last.ended is None:
            return now
        return last.began + 3600 * self.every_h

    def run(
        self, last: Callable[[], Attempt | None], batch: Callable[[], object], clock: Clock = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        """Runs forever. `batch` reports its own failures, and writes the journal from which `last` reads."""
        not_before = clock()
        while True:
            now = clock()
            wait_s = max(self.due(last(), now), not_before) - now
            if wait_s > 0:
                sleep(min(wait_s, LONGEST_SLEEP_S))
                continue
            batch()
            not_before = clock() + SHORTEST_PAUSE_S
