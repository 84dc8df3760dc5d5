"""One fault: which it is, the job that it happens to, and whether everything holds afterwards."""

import time
import traceback
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from faults import FAULTS, Struck
from invariants import after_the_end, after_the_fault
from running import end_all
from victims import LONGEST_S, Undisturbed, Victim

__all__ = ["Fault", "Result", "Victims", "disturb", "fault_of"]

Victims = Mapping[str, type[Victim]]
LEAVE_TEMPORARY_FILES = ("driver -9", "java -9", "trainer -9", "batch -9", "step -9")
"""Whoever has temporary files is given no time to remove them."""


class Fault(NamedTuple):
    number: int
    job: str
    kind: str


class Result(NamedTuple):
    """`outcome` is survived, late (the job had ended before the fault came), impossible (here), or violation."""

    number: int
    job: str
    kind: str
    outcome: str
    told: str
    codes: list[int]
    seconds: float
    wrong: list[str]


def fault_of(seed: int, number: int, victims: Victims) -> Fault:
    pairs = [(name, kind) for name, victim in victims.items() for kind in victim.faults]
    order = np.random.default_rng([seed, number // len(pairs)]).permutation(len(pairs))
    return Fault(number, *pairs[int(order[number % len(pairs)])])


def disturb(fault: Fault, seed: int, victim: Victim, undisturbed: Undisturbed) -> Result:
    """One fault, from a fresh working folder to the last check."""
    began = time.monotonic()
    victim.reset()
    victim.begin(fault.number)
    struck, wrong = Struck([], True, "", []), list[str]()
    try:
        struck = FAULTS[fault.kind](victim, np.random.default_rng([seed, fault.number, 1]), undisturbed)
        wrong += struck.wrong
        wrong += _checked(victim, undisturbed, struck, killed=fault.kind in LEAVE_TEMPORARY_FILES)
    except Exception as error:  # noqa: BLE001 - whatever happens is a violation, until somebody has looked at it
        wrong.append("".join(traceback.format_exception(error))[-3000:])
    finally:
        end_all(victim.place.folder)
        victim.end()
    outcome = "violation" if wrong else "survived" if struck.at_work else "late"
    return Result(
        fault.number, fault.job, fault.kind, outcome, struck.told, struck.codes, time.monotonic() - began, wrong
    )


def _checked(victim: Victim, undisturbed: Undisturbed, struck: Struck, *, killed: bool) -> list[str]:
    wrong = after_the_fault(victim)
    successes = struck.codes.count(0)
    if not successes and not _complete(victim, undisturbed):
        victim.before_again()
        job = victim.start("again.log")
        code = job.end(LONGEST_S)
        if code:
            return [*wrong, f"run again it ended with {code}: {job.said()[-2000:]}"]
    return wrong + after_the_end(victim, undisturbed, struck, max(successes, 1), killed)


def _complete(victim: Victim, undisturbed: Undisturbed) -> bool:
    """Whether all was done when the fault came, so that nobody would run it again; a training that was killed after its
    end would be done twice."""
    same = victim.results() == [undisturbed.result] and not victim.afterwards()
    return same and (victim.repeats or victim.files() == undisturbed.files)
