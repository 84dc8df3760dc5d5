"""Schedules by a clock that nobody has to wait for."""

import itertools
from collections.abc import Callable

import pytest

from training.retraining.journal import Attempt
from training.retraining.schedule import SHORTEST_PAUSE_S, Schedule

HOUR_S = 3600.0
DAILY = Schedule(every_h=24)


class OverError(Exception):
    """The time of a test is over."""


class World:
    """A clock, what the journal would say, and batches that take `takes_s`."""

    def __init__(self, until_h: float, last: Attempt | None = None, takes_s: float = 600.0) -> None:
        self.now = 0.0
        self.until = until_h * HOUR_S
        self.last = last
        self.takes_s = takes_s
        self.began_h: list[float] = []
        self.ends = True

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        if self.now > self.until:
            raise OverError

    def batch(self) -> None:
        began = self.now
        self.began_h.append(began / HOUR_S)
        self.now += self.takes_s
        self.last = Attempt(began, self.now if self.ends else None, 0)

    def run(self, schedule: Schedule = DAILY, batch: Callable[[], object] | None = None) -> list[float]:
        with pytest.raises(OverError):
            schedule.run(lambda: self.last, batch or self.batch, lambda: self.now, self.sleep)
        return self.began_h


def test_the_first_batch_is_due_at_once_and_then_one_a_day() -> None:
    assert World(until_h=73).run() == [0, 24, 48, 72]


def test_a_restarted_schedule_waits_for_its_turn() -> None:
    assert World(until_h=30, last=Attempt(-3 * HOUR_S, -2 * HOUR_S, 0)).run() == [21]


def test_missed_batches_are_made_up_for_once() -> None:
    assert World(until_h=30, last=Attempt(-100 * HOUR_S, -99 * HOUR_S, 0)).run() == [0, 24]


def test_a_batch_that_was_killed_is_resumed_at_once() -> None:
    assert World(until_h=10, last=Attempt(-1 * HOUR_S)).run() == [0]


def test_a_failed_batch_is_repeated_at_its_turn() -> None:
    assert World(until_h=30, last=Attempt(-2 * HOUR_S, -1 * HOUR_S, 1)).run() == [22]


def test_a_batch_that_outlasts_its_period_is_followed_by_one_batch_not_by_all_missed_ones() -> None:
    world = World(until_h=60, takes_s=50 * HOUR_S)
    assert world.run() == [0, pytest.approx(50, abs=0.1)]


def test_it_checks_again_at_intervals_while_another_process_runs_the_batch() -> None:
    world = World(until_h=1)
    tries: list[float] = []

    def busy() -> None:
        tries.append(world.now)
        world.last = Attempt(began=-5.0)  # the other's: no end yet

    world.run(batch=busy)
    assert len(tries) == pytest.approx(HOUR_S / SHORTEST_PAUSE_S, abs=2)
    assert min(later - earlier for earlier, later in itertools.pairwise(tries)) >= SHORTEST_PAUSE_S


def test_a_machine_that_was_suspended_runs_the_batch_when_it_wakes() -> None:
    world = World(until_h=60, last=Attempt(0.0, 60.0, 0))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        if not slept and world.now >= 10 * HOUR_S:
            slept.append(world.now)
            seconds = 30 * HOUR_S
        World.sleep(world, seconds)

    with pytest.raises(OverError):
        DAILY.run(lambda: world.last, world.batch, lambda: world.now, sleep)
    assert world.began_h == [pytest.approx(40, abs=0.1)]
