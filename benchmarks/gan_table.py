"""Quality of generators: tables of docs/results.md, from those that jobs/evaluate_gans.py has written.

    python benchmarks/gan_table.py NAME=gan_evaluation.parquet[:MODEL,…] …        a row per name, models are its seeds

Mean ± standard deviation over these generators of a file, or all; for a single one its value. The last rows are the
scale, of the first file.
"""

import argparse
import statistics
from pathlib import Path

import pyarrow.parquet as pq

METRICS = (
    "fid_task", "kid_task", "inception_score_task", "precision_task", "recall_task", "density_task",
    "coverage_task", "classes_covered", "label_accuracy", "duplicates", "copied", "cas",
)  # fmt: skip
SCALE = ("real training images", "uniform noise")


def read(path: Path) -> dict[str, dict[str, float]]:
    """By model and metric."""
    found: dict[str, dict[str, float]] = {}
    for row in pq.read_table(path, filters=[("metric", "in", METRICS)]).to_pylist():
        values = found.setdefault(row["model"], {})
        if row["value"] is not None:
            values[row["metric"]] = row["value"]
    return found


def chosen(path: str, models: str) -> dict[str, dict[str, float]]:
    found = read(Path(path))
    return {name: found[name] for name in (*models.split(","), *SCALE)} if models else found


def shown(values: list[float]) -> str:
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{statistics.mean(values):.3g} ± {statistics.stdev(values):.1g}"


def line(name: str, models: list[dict[str, float]]) -> str:
    cells = " | ".join(shown([model[metric] for model in models if metric in model]) for metric in METRICS)
    return f"| {name} | {len(models)} | {cells} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="NAME=FILE")
    files = [given.partition("=") for given in parser.parse_args().files]
    tables = {name: chosen(*path.partition(":")[::2]) for name, _, path in files}
    print(f"| | seeds | {' | '.join(METRICS)} |")
    print(f"|:--|--:|{'--:|' * len(METRICS)}")
    for name, table in tables.items():
        print(line(name, [values for model, values in table.items() if model not in SCALE]))
    for name in SCALE:
        print(line(name, [values for model, values in next(iter(tables.values())).items() if model == name]))


if __name__ == "__main__":
    main()
