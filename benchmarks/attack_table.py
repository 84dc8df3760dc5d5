"""Accuracy under attack: tables of docs/results.md, from those that jobs/evaluate_classifiers.py has written.

    python benchmarks/attack_table.py NAME=evaluation.parquet …        a column per recipe, its models are its seeds

White box only. In per cent, mean ± standard deviation over the models of a file that have this variant; for a single
model its value and its 95 % interval.
"""

import argparse
import statistics
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

METRICS = ("accuracy", "success", "relative_perturbation", "relative_perturbation_median")
TRANSFER = "_transfer_"


class Key(NamedTuple):
    noise: str
    level: str
    metric: str

    @property
    def place(self) -> tuple[bool, str, bool, float, str, int]:
        """No attack first; strengths in ascending order."""
        strength = float(self.level.removeprefix("eps")) if self.level.startswith("eps") else 0.0
        return (self.noise != "none", self.noise, strength > 0, strength, self.level, METRICS.index(self.metric))


class Value(NamedTuple):
    value: float
    low: float | None
    high: float | None


def read(path: Path) -> dict[Key, list[Value]]:
    """Per cent, one value per model."""
    found: dict[Key, list[Value]] = defaultdict(list)
    for row in pq.read_table(path, filters=[("metric", "in", METRICS)]).to_pylist():
        if TRANSFER not in row["noise"] and row["value"] is not None:
            value, low, high = (None if row[name] is None else 100 * row[name] for name in ("value", "low", "high"))
            found[Key(row["noise"], row["level"], row["metric"])].append(Value(value or 0.0, low, high))
    return found


def shown(values: list[Value]) -> str:
    if not values:
        return ""
    mean = statistics.mean(one.value for one in values)
    if len(values) > 1:
        return f"{mean:.2f} ± {statistics.stdev(one.value for one in values):.2f}"
    (one,) = values
    return f"{mean:.2f}" if one.low is None or one.high is None else f"{mean:.2f} ({one.low:.2f}–{one.high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="NAME=FILE")
    files = [given.partition("=") for given in parser.parse_args().files]
    columns = {name: read(Path(path)) for name, _, path in files}
    print(f"| attack | strength | metric | {' | '.join(columns)} |")
    print(f"|:--|:--|:--|{'--:|' * len(columns)}")
    for key in sorted({key for column in columns.values() for key in column}, key=lambda key: key.place):
        cells = " | ".join(shown(column.get(key, [])) for column in columns.values())
        print(f"| {key.noise} | {key.level} | {key.metric} | {cells} |")


if __name__ == "__main__":
    main()
