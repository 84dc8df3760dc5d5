"""When the next batch is due, and the loop that waits for it."""

import time
from collections.abc import Callable

from pydantic import Field

from pipelines.settings import Settings
from training.retraining.journal import Attempt
from training.retraining.lease import Clock

__all__ = ["Schedule"]

LONGEST_SLEEP_S = 60.0
"""Between looks at the clock, which may jump: a machine sleeps, its time is set."""
SHORTEST_PAUSE_S = 60.0
"""From the end of a batch that could not be noted down, or that another process does, to the next look."""


class Schedule(Settings):
    """A batch every `every_h` hours, from beginning to beginning."""

    every_h: float = Field(default=24.0, gt=0)

    def due(self, last: Attempt | None, now: float) -> float:
        """At once where there has been no batch, or the last one was killed; one that was missed is due once."""
        if last is None or last.ended is None:
            return now
        return last.began + 3600 * self.every_h

    def run(
        self, last: Callable[[], Attempt | None], batch: Callable[[], object], clock: Clock = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        """For ever. `batch` tells of its failures itself, and writes the journal from which `last` reads."""
        not_before = clock()
        while True:
            now = clock()
            wait_s = max(self.due(last(), now), not_before) - now
            if wait_s > 0:
                sleep(min(wait_s, LONGEST_SLEEP_S))
                continue
            batch()
            not_before = clock() + SHORTEST_PAUSE_S
