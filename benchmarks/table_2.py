"""The tables of docs/results.md, from tables that jobs/evaluate_classifiers.py has written.

    python benchmarks/table_2.py NAME=evaluation.parquet …                a column per recipe, its models are its seeds
    python benchmarks/table_2.py --readings NAME=evaluation.parquet …     readings of ambiguous passages of the paper

A NAME may be repeated, for evaluations of the same networks on the datasets of two noise menus.
Accuracies in per cent, mean ± standard deviation over the models of a file. The paper is "Understanding classification
failure in Machine Learning using CNNs and GANs"; its column is Table 2.
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

Cell = tuple[str, str]
Files = Sequence[tuple[str, Path]]
PAPER: dict[Cell, float] = {
    ("none", "none"): 89.09,
    ("gaussian", "max"): 39.97, ("gaussian", "avg"): 41.83, ("gaussian", "min"): 60.49,
    ("periodic", "max"): 10.54, ("periodic", "avg"): 57.91, ("periodic", "min"): 74.44,
    ("salt_pepper", "max"): 68.11, ("salt_pepper", "avg"): 75.33, ("salt_pepper", "min"): 80.57,
}  # fmt: skip
DEFAULT_READING = {"gaussian": "clip", "periodic": "50grey_10px", "salt_pepper": "per_cent"}
LEVELS = ("min", "avg", "max")


def accuracies(path: Path) -> dict[Cell, list[float]]:
    """Per cent, one value per model."""
    found: dict[Cell, list[float]] = defaultdict(list)
    for row in pq.read_table(path, filters=[("metric", "=", "accuracy")]).to_pylist():
        found[row["noise"], row["level"]].append(100 * row["value"])
    return found


def shown(values: list[float]) -> str:
    mean = statistics.mean(values)
    return f"{mean:.2f} ± {statistics.stdev(values):.2f}" if len(values) > 1 else f"{mean:.2f}"


def print_table_2(files: Files) -> None:
    columns = {name: accuracies(path) for name, path in files}
    seeds = {name: len(next(iter(column.values()))) for name, column in columns.items()}
    print(f"| noise | level | paper | {' | '.join(f'{name} ({seeds[name]} seeds)' for name in columns)} |")
    print(f"|:--|:--|--:|{'--:|' * len(columns)}")
    for cell, paper in PAPER.items():
        noise, level = ("clean", "") if cell[0] == "none" else cell
        print(f"| {noise} | {level} | {paper:.2f} | {' | '.join(shown(column[cell]) for column in columns.values())} |")
    for name, column in columns.items():
        clean = statistics.mean(column["none", "none"])
        means = {cell: statistics.mean(column[cell]) for cell in PAPER}
        beaten = sum(means[cell] >= PAPER[cell] for cell in PAPER)
        worst = min(means, key=lambda cell: means[cell])
        print(f"{name}: at least the paper's in {beaten} of 10 cells; ", end="")
        print(f"worst cell {'-'.join(worst)} at {means[worst] / clean:.1%} of its clean accuracy")


def print_readings(files: Files) -> None:
    """Sorted by the mean distance from Table 2 over the three levels."""
    rows = []
    for name, path in files:
        readings: dict[Cell, dict[str, float]] = defaultdict(dict)
        for (noise, full_level), values in accuracies(path).items():
            level, _, reading = full_level.partition("_")
            readings[noise, reading or DEFAULT_READING.get(noise, "")][level] = statistics.mean(values)
        for (noise, reading), levels in readings.items():
            if noise in DEFAULT_READING:
                distance = statistics.mean(abs(levels[level] - PAPER[noise, level]) for level in LEVELS)
                rows.append((noise, name, distance, reading, levels))
    print("| noise | reading | network | min | avg | max | mean distance from the paper |")
    print("|:--|:--|:--|--:|--:|--:|--:|")
    for noise in DEFAULT_READING:
        print(f"| {noise} | the paper | | {' | '.join(f'{PAPER[noise, level]:.1f}' for level in LEVELS)} | |")
        for of, name, distance, reading, found in sorted(rows, key=lambda row: row[2]):
            if of == noise:
                cells = " | ".join(f"{found[level]:.1f}" for level in LEVELS)
                print(f"| | {_in_words(reading)} | {name} | {cells} | {distance:.1f} |")


def _in_words(reading: str) -> str:
    return reading.replace("_", " ").replace("grey", " grey").replace("2pi", "2π").replace("px", " px")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", action="store_true")
    parser.add_argument("files", nargs="+", metavar="NAME=FILE")
    arguments = parser.parse_args()
    files = [(name, Path(path)) for name, _, path in (given.partition("=") for given in arguments.files)]
    (print_readings if arguments.readings else print_table_2)(files)


if __name__ == "__main__":
    main()
