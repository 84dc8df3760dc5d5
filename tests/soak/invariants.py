"""What must hold after every fault; each function tells what does not."""

from pathlib import Path
from typing import Any

from faults import Struck
from running import Place, end_all, marked, wait_until
from victims import Undisturbed, Victim

__all__ = ["after_the_end", "after_the_fault"]

ENDS_WITHIN_S = 60.0


def after_the_fault(victim: Victim) -> list[str]:
    """Nobody has run the job again yet."""
    return [*no_process(victim.place), *victim.broken()]


def after_the_end(victim: Victim, undisturbed: Undisturbed, struck: Struck, successes: int, killed: bool) -> list[str]:
    """The last run has succeeded; `successes` is how many have. Whoever was `killed` by SIGKILL has had no time to
    remove temporary files."""
    times = successes if victim.repeats else 1
    return [
        *no_process(victim.place),
        *victim.broken(),
        *same_results(undisturbed, victim.results(), times),
        *same_files(undisturbed.files, victim.files(), times),
        *([] if killed else no_temporary_files(victim.place.tmp)),
        *victim.afterwards(),
    ]


def no_process(place: Place) -> list[str]:
    """Without a process there is no lock of flock and no port of it either. What is left is killed."""
    if wait_until(lambda: not marked(place.folder), ENDS_WITHIN_S, every_s=0.2):
        return []
    left = [" ".join(process.cmdline())[:200] for process in marked(place.folder)]
    end_all(place.folder)
    return [f"a process outlives its job: {line}" for line in left]


def same_results(undisturbed: Undisturbed, found: list[Any], times: int) -> list[str]:
    expected = [undisturbed.result] * times
    return [] if found == expected else [f"another result: {found!s:.1500}, expected {expected!s:.1500}"]


def same_files(expected: dict[str, int], found: dict[str, int], times: int) -> list[str]:
    """As many files of each name: nothing is lost, doubled, or left over. A second run shares some files with the
    first, the database for example."""
    wrong = []
    for name in sorted(expected.keys() | found.keys()):
        wanted, there = expected.get(name, 0), found.get(name, 0)
        if there != wanted and not (times > 1 and wanted <= there <= times * wanted):
            wrong.append(f"{there} files {name}, expected {wanted}")
    return wrong[:10]


def no_temporary_files(tmp: Path) -> list[str]:
    return [f"left in the temporary folder: {path.relative_to(tmp)}" for path in sorted(tmp.iterdir())][:10]
