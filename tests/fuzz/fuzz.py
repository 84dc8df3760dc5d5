"""Shows random damaged inputs to everything that reads files, and counts what becomes of them.

    python tests/fuzz/fuzz.py [--inputs 20000] [--seed 0] [--kinds images,settings] [--processes 2] [--only NUMBER]

Each input must end as accepted (with a right result) or as refused with a message of ours. A violation is a traceback,
a wrong result, more than 10 s, more than 1 GiB of memory, or the death of the process. Input NUMBER is a function of
the seed and the number alone: --only repeats one, with its traceback. Exit code 1 if there were violations.
"""

import argparse
import multiprocessing
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

LONGEST_S = 10
MOST_BYTES = 2**30


class Violation(NamedTuple):
    number: int
    kind: str
    what: str


def kind_of(seed: int, number: int, shares: dict[str, float]) -> str:
    rng = np.random.default_rng([seed, number, 1])
    return str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))


def work(numbers: range, seed: int, names: list[str], at: Any, results: Any) -> None:
    """Tries the inputs `numbers`; `at` is the number that is being tried, for whoever survives this process, or -1."""
    import kinds

    warnings.simplefilter("ignore")
    shares = {name: kinds.KINDS[name].share for name in names}
    with tempfile.TemporaryDirectory(prefix="roadsign-fuzz-") as folder:  # prepared before a number is set
        opened: dict[str, Any] = {}
        for name in names:
            (Path(folder) / name).mkdir()
            opened[name] = kinds.KINDS[name](Path(folder) / name)
        limit = _address_space() + MOST_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        signal.signal(signal.SIGALRM, _too_long)
        for number in numbers:
            at.value = number
            name = kind_of(seed, number, shares)
            results.put((number, name, *_try_one(opened[name], seed, number)))
    at.value = -1


def _try_one(kind: Any, seed: int, number: int) -> tuple[str, str]:
    """(outcome, traceback)."""
    signal.alarm(LONGEST_S)
    try:
        return kind.try_one(np.random.default_rng([seed, number])), ""
    except BaseException:  # noqa: BLE001
        return "violation", traceback.format_exc()
    finally:
        signal.alarm(0)


def _too_long(*_: object) -> None:
    raise TimeoutError(f"more than {LONGEST_S} s")


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


Counts = Counter[tuple[str, str]]
"""How many inputs of each kind had each outcome."""


def run(numbers: range, seed: int, names: list[str], processes: int) -> tuple[Counts, list[Violation]]:
    """A process that dies is replaced, and the input that it died of is a violation."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    counts: Counts = Counter()
    violations: list[Violation] = []
    waiting = [numbers[part::processes] for part in range(processes)]
    running: list[tuple[Any, Any, range]] = []

    def start(some: range) -> None:
        at = context.Value("q", -1, lock=False)
        process = context.Process(target=work, args=(some, seed, names, at, results))
        process.start()
        running.append((process, at, some))

    for some in waiting:
        start(some)
    while running:
        while not results.empty():
            number, name, what, trace = results.get()
            counts[name, what] += 1
            if what == "violation":
                violations.append(Violation(number, name, trace))
        for one in list(running):
            process, at, some = one
            if not process.is_alive() and results.empty():
                running.remove(one)
                if at.value >= 0:
                    import kinds

                    shares = {name: kinds.KINDS[name].share for name in names}
                    name = kind_of(seed, at.value, shares)
                    counts[name, "violation"] += 1
                    violations.append(Violation(at.value, name, f"the process died with {process.exitcode}"))
                    if rest := some[some.index(at.value) + 1 :]:
                        start(rest)
        time.sleep(0.05)
    return counts, sorted(violations)


def show(console: Console, counts: Counts, names: list[str]) -> None:
    outcomes = ("accepted", "refused", "violation")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("inputs of")
    for heading in ("inputs", *outcomes):
        table.add_column(heading, justify="right")
    for name in names:
        own = [counts[name, what] for what in outcomes]
        table.add_row(name, f"{sum(own):,}", *(f"{value:,}" for value in own))
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="images,annotations,archives,settings,parquet,manifests,models,containers")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", type=int)
    arguments = parser.parse_args()
    names = arguments.kinds.split(",")
    numbers = range(arguments.inputs) if arguments.only is None else range(arguments.only, arguments.only + 1)
    started = time.monotonic()
    counts, violations = run(numbers, arguments.seed, names, arguments.processes if arguments.only is None else 1)
    console = Console()
    for one in violations[:20]:
        console.print(f"input {one.number} ({one.kind}):\n{one.what}", markup=False, highlight=False)
    show(console, counts, names)
    done = sum(counts.values())
    console.print(
        f"{done:,} inputs, seed {arguments.seed}, {time.monotonic() - started:.0f} s: {len(violations)} violations"
    )
    if done != len(numbers):
        console.print(f"{len(numbers) - done} inputs have no outcome")
    return int(bool(violations) or done != len(numbers))


if __name__ == "__main__":
    sys.exit(main())
