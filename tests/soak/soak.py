"""Disturbs every job at random, again and again, and checks after each fault that nothing is lost, doubled or left.

    python tests/soak/soak.py [--faults 1000000] [--minutes 60] [--seed 0] [--folder data/soak] [--jobs all] [--only 7]

Fault NUMBER is a function of the seed and the number alone: each round of all pairs of job and fault is shuffled, so
that a short soak is no less mixed than a long one. Results are appended to FOLDER/results.jsonl; the same command goes
on after the last one, also if the soak was killed. After a fault a job that has failed is run again, as its user would.
What a violation leaves is kept in FOLDER/kept/NUMBER. Exit code 1 if there were violations.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "reference"))

from disturbing import Result, Victims, disturb, fault_of
from faults import impossible
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from running import JOBS, SERVERS, Place, end_all
from victims import Undisturbed, Victim

SETTINGS = "settings.json"
SHORT = ("train_classifier", "make_noisy_datasets", "evaluate_classifiers")
"""Jobs of which several faults are done in minutes."""


class Soak:
    """A soak that may have been stopped at any time."""

    def __init__(self, folder: Path, seed: int, victims: Victims) -> None:
        self.place = Place(folder.resolve())
        self.seed, self.victims = seed, victims
        self.path = self.place.folder / "results.jsonl"
        self.place.folder.mkdir(parents=True, exist_ok=True)
        self.place.inputs.mkdir(exist_ok=True)
        for variable in (JOBS, SERVERS):  # of this soak, when it was killed
            end_all(self.place.folder, variable)
        os.environ[SERVERS] = str(self.place.folder)
        self._ready: dict[str, tuple[Victim, Undisturbed]] = {}
        self._check_settings()

    def _check_settings(self) -> None:
        path = self.place.folder / SETTINGS
        settings = json.dumps({"seed": self.seed, "jobs": list(self.victims)})
        if not path.exists():
            path.write_text(settings)
        if path.read_text() != settings:
            raise SystemExit(f"{self.place.folder}: is of a soak with {path.read_text()}; use another --folder")

    def results(self) -> list[Result]:
        """All that are known; a line that a kill has cut is not one."""
        found = []
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            try:
                found.append(Result(**json.loads(line)))
            except ValueError:
                continue
        return found

    def run_one(self, number: int, *, record: bool = True) -> Result:
        fault = fault_of(self.seed, number, self.victims)
        if why := impossible(fault.kind):
            result = Result(*fault, "impossible", why, [], 0.0, [])
        else:
            result = disturb(fault, self.seed, *self._victim(fault.job))
        if result.wrong:
            kept = self.place.folder / "kept" / str(number)
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(self.place.work, kept, symlinks=True, ignore_dangling_symlinks=True)
        if record:
            with self.path.open("a") as file:
                file.write(("\n" if _is_cut(self.path) else "") + json.dumps(result._asdict()) + "\n")
        return result

    def _victim(self, name: str) -> tuple[Victim, Undisturbed]:
        if name not in self._ready:
            victim = self.victims[name](self.place)
            self._ready[name] = victim, victim.undisturbed()
        return self._ready[name]

    def close(self) -> None:
        for victim, _ in self._ready.values():
            victim.close()
        end_all(self.place.folder, SERVERS)  # of a job that could not even begin


def _is_cut(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")


def show(console: Console, results: Sequence[Result]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("job")
    table.add_column("fault")
    outcomes = ("survived", "late", "impossible", "violation")
    for heading in ("faults", *outcomes):
        table.add_column(heading, justify="right")
    counts = Counter((one.job, one.kind, one.outcome) for one in results)
    for job, kind in sorted({(one.job, one.kind) for one in results}):
        own = [counts[job, kind, outcome] for outcome in outcomes]
        table.add_row(job, kind, str(sum(own)), *map(str, own))
    console.print(table)


def all_victims() -> dict[str, type[Victim]]:
    import retraining
    import spark_jobs
    import trainings

    found: list[Any] = [
        spark_jobs.NoisyDatasets, spark_jobs.NoisyDatasetsOnS3, spark_jobs.AdversarialDatasets, spark_jobs.Evaluation,
        trainings.TrainClassifier, trainings.TrainGan, trainings.TrainAtServer, trainings.Grid, retraining.Worse,
        retraining.Better,
    ]  # fmt: skip
    return {victim.name: victim for victim in found}


def soak(of: Soak, faults: int, minutes: float, console: Console) -> int:
    """Goes on where the results end; 1 if there are violations among all results."""
    began, known = time.monotonic(), {one.number for one in of.results()}
    try:
        for number in (number for number in range(faults) if number not in known):
            if time.monotonic() - began > 60 * minutes:
                break
            tell(console, of, of.run_one(number))
    finally:
        of.close()
    results = of.results()
    show(console, results)
    violations = [one for one in results if one.wrong]
    console.print(f"{len(results)} faults, seed {of.seed}: {len(violations)} violations")
    return int(bool(violations))


def tell(console: Console, of: Soak, one: Result) -> None:
    lines = [f"fault {one.number} ({one.job}, {one.kind}): {one.outcome}, {one.seconds:.0f} s; {one.told} {one.codes}"]
    if one.wrong:
        jobs = "" if len(of.victims) == len(all_victims()) else f" --jobs {','.join(of.victims)!r}"
        again = f"--seed {of.seed} --folder {of.place.folder} --only {one.number}{jobs}"
        lines += [*one.wrong, f"repeat: python tests/soak/soak.py {again}"]
    console.print(*lines, sep="\n", markup=False, highlight=False, soft_wrap=True)


def chosen(names: str) -> Victims:
    """`all`, `short`, or some names."""
    victims = all_victims()
    groups = {"all": tuple(victims), "short": SHORT}
    try:
        return {name: victims[name] for name in groups.get(names, names.split(","))}
    except KeyError as error:
        raise SystemExit(f"no job {error}; there are all, short, {', '.join(victims)}") from None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=1_000_000)
    time_given = parser.add_mutually_exclusive_group()
    time_given.add_argument("--minutes", type=float, default=60)
    time_given.add_argument("--hours", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("data/soak"))
    parser.add_argument("--jobs", default="all")
    parser.add_argument("--only", type=int)
    parser.add_argument("--anew", action="store_true", help="remove what an earlier soak has left in FOLDER")
    given = parser.parse_args()
    if given.anew and (given.folder / SETTINGS).exists():
        shutil.rmtree(given.folder)
    of, console = Soak(given.folder, given.seed, chosen(given.jobs)), Console(width=max(110, Console().width))
    if given.only is None:
        return soak(of, given.faults, 60 * given.hours if given.hours else given.minutes, console)
    try:
        result = of.run_one(given.only, record=False)
        tell(console, of, result)
    finally:
        of.close()
    return int(bool(result.wrong))


if __name__ == "__main__":
    sys.exit(main())
