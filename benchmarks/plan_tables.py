"""Accuracy by noise and level beside the paper's Tables 2 and 3, of trainings of benchmarks/train_many.py.

    python benchmarks/plan_tables.py OUT:IMAGES … --groups GROUPS [--paper baseline_cnn] [--recipes NAME,NAME …]

OUT is the output of train_many and IMAGES the folder of arrays that it read; GROUPS are the recovered groups of the
test images (jobs/recover_tracks.py). Trainings of one name are the seeds of one recipe. Per cent, mean ± standard
deviation over the seeds; in brackets the 95 % interval, over seeds and groups if there are several seeds, otherwise
over groups.

Then, for each pair of recipes, the rank correlation of the noises: whether the same noises harm both. Its 95 % interval
is the percentile interval of a bootstrap over groups; the seeds are those that there are. Of two seeds of one recipe it
says how far the order of the noises depends on the seed alone.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pipelines.store.recovered_groups import read
from training.evaluation.intervals.clusters import group_codes
from training.evaluation.intervals.proportions import Units
from training.evaluation.intervals.seeds import over_seeds

Right = NDArray[np.bool_]
Recipes = Mapping[str, Mapping[str, Right]]
"""By name and variant, (seeds, images)."""
NOISES = [f"{noise}-{level}" for noise in ("gaussian", "periodic", "salt_pepper") for level in ("max", "avg", "min")]
PAPER = {
    "baseline_cnn": (89.09, 39.97, 41.83, 60.49, 10.54, 57.91, 74.44, 68.11, 75.33, 80.57),
    "inception_v3": (68.17, 60.55, 61.23, 63.89, 15.09, 35.04, 50.42, 58.32, 62.5, 65.19),
    "resnet50": (81.58, 80.76, 80.82, 80.99, 20.24, 63.12, 71.07, 23.39, 54.12, 68.12),
}
"""Clean, then NOISES: Tables 2 and 3 of "Understanding classification failure in Machine Learning using CNNs and
GANs"."""
DRAWS = 2000


def read_recipes(folders: Sequence[tuple[Path, Path]], split: str) -> tuple[Recipes, list[str], list[int]]:
    """The recipes, and the ids and labels of the images in their order, which is that of the ids."""
    found: dict[str, dict[str, list[Right]]] = {}
    seen = set[tuple[str, int]]()
    ids: list[str] = []
    for out, images in folders:
        rows = np.load(images / f"rows-{split}.npz")
        order = np.argsort(rows["ids"])
        labels = rows["labels"][order]
        if ids and ids != rows["ids"][order].tolist():
            raise SystemExit(f"{images}: has other {split} images than the folder before")
        ids = rows["ids"][order].tolist()
        for line in map(json.loads, (out / "results.jsonl").read_text().splitlines()):
            if "error" in line or split not in line["evaluate"]:
                print(f"not in the tables: {line['name']}, seed {line['seed']}: {line.get('error', 'no ' + split)}")
                continue
            if (training := (line["name"], line["seed"])) in seen:
                raise SystemExit(f"{out}: {line['name']}, seed {line['seed']}, occurs twice; remove one of the lines")
            seen.add(training)
            predicted = np.load(out / "predictions" / f"{line['name']}-seed{line['seed']}.npz")
            for variant in ("clean", *NOISES):
                if (name := f"{split}/{variant}") in predicted:
                    right = predicted[name][order] == labels
                    found.setdefault(line["name"], {}).setdefault(variant, []).append(right)
    return (
        {name: {variant: np.stack(seeds) for variant, seeds in each.items()} for name, each in found.items()},
        ids,
        labels.tolist(),
    )


def shown(units: Units, right: Right) -> str:
    """(seeds, images) → "96.38 ± 0.28 (95.3–97.2)"."""
    if len(right) > 1:
        found = over_seeds(units, right)
        spread, interval = f" ± {100 * found.sd:.2f}", found.interval
    else:
        spread, interval = "", units.proportion(right[0])
    return f"{100 * right.mean():.2f}{spread} ({100 * (interval.low or 0):.1f}–{100 * (interval.high or 0):.1f})"


def print_accuracies(recipes: Recipes, papers: Sequence[str], units: Units) -> None:
    seeds = [f"{name} ({len(next(iter(each.values())))} seeds)" for name, each in recipes.items()]
    print("|".join(["", " noise ", *(f" paper: {name} " for name in papers), *(f" {name} " for name in seeds), ""]))
    print(f"|:--|{'--:|' * (len(papers) + len(seeds))}")
    for place, variant in enumerate(("clean", *NOISES)):
        cells = [f"{PAPER[name][place]:.2f}" for name in papers]
        cells += [shown(units, each[variant]) if variant in each else "–" for each in recipes.values()]
        print(f"| {variant} | {' | '.join(cells)} |")
    for paper in papers:
        for name, each in recipes.items():
            above = [100 * each[variant].mean() > PAPER[paper][place + 1] for place, variant in enumerate(NOISES)]
            clean = 100 * each["clean"].mean() > PAPER[paper][0]
            print(f"{name}: above the paper's {paper} in {sum(above) + clean} of 10 cells")


def by_group(each: Mapping[str, Right], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """(groups, 9): right answers to the images of each group, mean over the seeds."""
    return np.stack([np.bincount(codes, each[variant].mean(axis=0)) for variant in NOISES], axis=1)


def spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…, 9) twice → (…,): the correlation of the ranks."""
    ranks = (rankdata(values, axis=-1) for values in (one, other))
    return correlation(*(each - each.mean(-1, keepdims=True) for each in ranks))


def kendall(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…, 9) twice → (…,): τ-b, the correlation of the signs of all differences."""
    first, second = np.triu_indices(one.shape[-1], 1)
    return correlation(*(np.sign(values[..., first] - values[..., second]) for values in (one, other)))


def correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of centred values; NaN where all are equal."""
    with np.errstate(invalid="ignore"):
        return np.asarray((one * other).sum(-1) / np.sqrt((one**2).sum(-1) * (other**2).sum(-1)))


def print_ranks(recipes: Recipes, papers: Sequence[str], codes: NDArray[np.int64]) -> None:
    whole = {name: each for name, each in recipes.items() if all(variant in each for variant in NOISES)}
    rights = {name: by_group(each, codes) for name, each in whole.items()}
    groups = int(codes.max()) + 1
    draws = np.random.default_rng(0).multinomial(groups, np.full(groups, 1 / groups), DRAWS)
    # Right answers, not accuracies: all noises have the same images, so that their ranks are the same.
    drawn = {name: draws @ right for name, right in rights.items()}
    print("\n| networks | Spearman's ρ of nine noises | 95 % interval | Kendall's τ | 95 % interval |")
    print("|:--|--:|:--|--:|:--|")
    for one, other in combinations(rights, 2):
        cells = []
        for measure in (spearman, kendall):
            value = measure(rights[one].sum(axis=0), rights[other].sum(axis=0))
            low, high = np.nanquantile(measure(drawn[one], drawn[other]), (0.025, 0.975))
            cells += [f"{value:.2f}", f"{low:.2f} to {high:.2f}"]
        print(f"| {one}, {other} | {' | '.join(cells)} |")
    for one, other in combinations(papers, 2):
        rho, tau = (measure(*(np.array(PAPER[name][1:]) for name in (one, other))) for measure in (spearman, kendall))
        print(f"| the paper's {one}, {other} | {rho:.2f} | | {tau:.2f} | |")
    for name, each in whole.items():
        accuracies = [
            np.array([each[variant][seed].mean() for variant in NOISES]) for seed in range(len(each["clean"]))
        ]
        if between := [float(spearman(*pair)) for pair in combinations(accuracies, 2)]:
            print(f"{name}: ρ between two of its seeds: mean {statistics.mean(between):.2f}, lowest {min(between):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="OUT:IMAGES")
    parser.add_argument("--groups", type=Path, required=True)
    parser.add_argument("--paper", nargs="*", choices=PAPER, default=[])
    parser.add_argument("--recipes", help="names, separated by commas; all if not given")
    arguments = parser.parse_args()
    folders = [(Path(out), Path(images)) for out, _, images in (given.partition(":") for given in arguments.folders)]
    recipes, ids, labels = read_recipes(folders, "test")
    names = arguments.recipes.split(",") if arguments.recipes else list(recipes)
    recipes = {name: recipes[name] for name in names}
    recovered = read(arguments.groups)
    groups = np.array(recovered.of_images(ids, labels), np.str_)
    print(f"{len(ids):,} images of {len(set(groups)):,} recovered groups, digest {recovered.digest[:12]}\n")
    print_accuracies(recipes, arguments.paper, Units.of_groups(groups, recovered=True))
    print_ranks(recipes, list(PAPER), group_codes(groups))


if __name__ == "__main__":
    main()
