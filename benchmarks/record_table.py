"""What a record rests on, of trainings of benchmarks/train_many.py: each network, ensembles, ablations, wrong images.

    python benchmarks/record_table.py OUT IMAGES --groups GROUPS [--recipes NAME,NAME] [--ablation BASE:NAME,NAME]
        [--ceiling VARIANT:NAME …] [--wrong NAME --sheet FILE.png]

OUT is the output of train_many and IMAGES the folder of arrays that it read; GROUPS are the recovered groups of the
test images (jobs/recover_tracks.py). Per cent; 95 % intervals over groups, those of ablations over validation tracks
and paired. Accuracies by noise and their intervals: benchmarks/plan_tables.py.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipelines.store.recovered_groups import read
from training.evaluation.intervals.paired import PairedGroups
from training.evaluation.intervals.proportions import Units
from training.evaluation.intervals.seeds import over_seeds

Floats = NDArray[np.float64]
TOGETHER = 3
"""Networks of an ensemble; all sets of so many seeds are averaged."""


class Split(NamedTuple):
    ids: list[str]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    units: Units


class Network(NamedTuple):
    line: Mapping[str, Any]
    """Of results.jsonl."""
    found: Mapping[str, NDArray[Any]]
    """The predictions, by split and variant."""

    def probabilities(self, split: str) -> Floats:
        return np.exp(self.found[f"{split}/log_probabilities"].astype(np.float64))


Recipes = Mapping[str, Sequence[Network]]


def read_networks(out: Path) -> Recipes:
    """The networks of each recipe, in order of their seeds."""
    recipes: dict[str, list[Network]] = {}
    for line in map(json.loads, (out / "results.jsonl").read_text().splitlines()):
        if "error" in line:
            print(f"not in the tables: {line['name']}, seed {line['seed']}: {line['error']}")
            continue
        with np.load(out / "predictions" / f"{line['name']}-seed{line['seed']}.npz") as file:
            recipes.setdefault(line["name"], []).append(Network(line, dict(file)))
    return {name: sorted(each, key=lambda network: network.line["seed"]) for name, each in recipes.items()}


def read_split(images: Path, split: str, groups_file: Path | None) -> Split:
    """Groups of GTSRB's training images are tracks, which are in their ids; those of its test images are recovered."""
    rows = np.load(images / f"rows-{split}.npz")
    ids, labels = rows["ids"].tolist(), rows["labels"].astype(np.int64)
    if groups_file:
        groups = np.array(read(groups_file).of_images(ids, labels.tolist()), np.str_)
    else:
        groups = np.array([image_id.rpartition("_")[0] for image_id in ids], np.str_)
    return Split(ids, labels, groups, Units.of_groups(groups, recovered=groups_file is not None))


def percent(value: float | None, places: int = 2) -> str:
    return "–" if value is None else f"{100 * value:.{places}f}"


def measured(test: Split, predicted: NDArray[Any]) -> str:
    """Accuracy, interval, wrong images (groups), as cells of a table."""
    right = predicted == test.labels
    found = test.units.proportion(right)
    wrong = f"{(~right).sum()} ({len(set(test.groups[~right]))})"
    return f"{percent(found.value)} | {percent(found.low)}–{percent(found.high)} | {wrong}"


def print_networks(recipes: Recipes, test: Split) -> None:
    print("| recipe | seed | parameters | epochs | s | validation | test | 95 % interval | wrong images (signs) |")
    print("|:--|--:|--:|--:|--:|--:|--:|:--|--:|")
    for name, networks in recipes.items():
        rights = []
        for line, found in networks:
            if "test/clean" not in found:
                continue
            rights.append(found["test/clean"] == test.labels)
            validation = percent(line["accuracies"].get("validation/clean"))
            told = f"{line['seed']} | {line['parameters']:,} | {line['epochs']} | {line['train_s']:.0f}"
            print(f"| {name} | {told} | {validation} | {measured(test, found['test/clean'])} |")
        if len(rights) > 1:
            together = over_seeds(test.units, np.stack(rights))
            low, high = percent(together.interval.low), percent(together.interval.high)
            mean = f"{percent(float(np.mean(rights)))} ± {percent(together.sd)}"
            print(f"| {name} | {len(rights)} seeds | | | | | {mean} | {low}–{high} | |")


def print_ensembles(recipes: Recipes, test: Split) -> None:
    print("\n| mean probability of | test | 95 % interval | wrong images (signs) |\n|:--|--:|:--|--:|")
    for name, networks in recipes.items():
        given = [network.probabilities("test") for network in networks if "test/log_probabilities" in network.found]
        if len(given) < 2:
            continue
        sets = list(combinations(given, min(TOGETHER, len(given))))
        accuracies = [float((np.sum(each, axis=0).argmax(1) == test.labels).mean()) for each in sets]
        first = measured(test, np.sum(sets[0], axis=0).argmax(1))
        print(f"| {name}, seeds 0 to {len(sets[0]) - 1} | {first} |")
        if len(sets) > 1:
            lowest, highest = percent(min(accuracies)), percent(max(accuracies))
            mean = percent(statistics.mean(accuracies))
            print(f"| {name}, all {len(sets)} sets of {TOGETHER} | {mean} ({lowest} to {highest}) | | |")
            print(f"| {name}, all {len(given)} seeds | {measured(test, np.sum(given, axis=0).argmax(1))} |")


def print_ablation(recipes: Recipes, validation: Split, base: str, names: Sequence[str]) -> None:
    """The change of validation accuracy against `base`, mean over the seeds, paired by track."""

    def mean_right(name: str) -> Floats:
        rights = [network.found["validation/clean"] == validation.labels for network in recipes[name]]
        return np.asarray(np.mean(rights, axis=0, dtype=np.float64))

    def changed(name: str) -> str:
        kinds = ("stress", "shadow", "low_resolution")
        lines = [network.line["accuracies"] for network in recipes[name]]
        return " | ".join(percent(statistics.mean(line[f"validation/{kind}"] for line in lines)) for kind in kinds)

    print(f"\n{base}: {percent(float(mean_right(base).mean()))} of {len(validation.ids):,} validation images")
    print("| | change | 95 % interval | rotated, shifted, … | in shadow | low resolution |\n|:--|--:|:--|--:|--:|--:|")
    print(f"| {base} | | | {changed(base)} |")
    for name in names:
        pairs = PairedGroups(mean_right(base), mean_right(name), validation.groups)
        low, high = (f"{100 * end:+.2f}" for end in pairs.interval())
        print(f"| {name} | {100 * pairs.difference:+.2f} | {low} to {high} | {changed(name)} |")


def print_ceilings(recipes: Recipes, splits: Mapping[str, Split], ceilings: Sequence[str]) -> None:
    print("\n| variant | network for it alone | split | its accuracy | recipe | accuracy | below it |")
    print("|:--|:--|:--|--:|:--|--:|--:|")
    for variant, _, ceiling in (given.partition(":") for given in ceilings):
        for split, (_, labels, _, _) in splits.items():
            key = f"{split}/{variant}"
            means = {
                name: statistics.mean(float((network.found[key] == labels).mean()) for network in networks)
                for name, networks in recipes.items()
                if all(key in network.found and split not in network.line["train"] for network in networks)
            }
            for name, value in means.items():
                if name != ceiling:
                    told = f"{name} | {percent(value)} | {100 * (means[ceiling] - value):+.2f}"
                    print(f"| {variant} | {ceiling} | {split} | {percent(means[ceiling])} | {told} |")


def print_wrong(networks: Sequence[Network], test: Split, images: Path, sheet: Path | None) -> None:
    """The images that the networks together predict wrongly, and by how many of them alone."""
    together = np.sum([network.probabilities("test") for network in networks], axis=0)
    alone = np.sum([network.found["test/clean"] != test.labels for network in networks], axis=0)
    wrong = np.flatnonzero(together.argmax(1) != test.labels)
    print(f"\nWrong for the {len(networks)} networks together ({len(wrong)}; the label, the prediction, wrong alone):")
    print(", ".join(f"{test.ids[row]} ({test.labels[row]}, {together[row].argmax()}, {alone[row]})" for row in wrong))
    print(f"Wrong for each of them: {int((alone == len(networks)).sum())}; for at least one: {int((alone > 0).sum())}")
    if sheet:
        draw_sheet(np.load(images / "clean-test.npy", mmap_mode="r"), wrong, test.labels, together.argmax(1)).save(
            sheet
        )


def draw_sheet(
    pixels: NDArray[np.uint8], rows: NDArray[np.int64], labels: NDArray[np.int64], predicted: NDArray[np.int64]
) -> Image.Image:
    """The images at twice their size, ten in a row, each above its label and its prediction."""
    across, size, caption = 10, 2 * pixels.shape[1], 14
    sheet = Image.new("RGB", (across * (size + 4), -(-max(1, len(rows)) // across) * (size + caption + 4)), "white")
    draw = ImageDraw.Draw(sheet)
    for place, row in enumerate(rows):
        left, top = place % across * (size + 4), place // across * (size + caption + 4)
        sheet.paste(Image.fromarray(pixels[row]).resize((size, size), Image.Resampling.NEAREST), (left, top))
        draw.text((left + 2, top + size + 1), f"{labels[row]} > {predicted[row]}", "black")
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--groups", type=Path, required=True)
    parser.add_argument("--recipes", help="names, separated by commas; all if not given")
    parser.add_argument("--ablation", metavar="BASE:NAME,NAME")
    parser.add_argument("--ceiling", nargs="*", default=[], metavar="VARIANT:NAME")
    parser.add_argument("--wrong", metavar="NAME")
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    recipes = read_networks(arguments.out)
    test = read_split(arguments.images, "test", arguments.groups)
    validation = read_split(arguments.images, "validation", None)
    names = arguments.recipes.split(",") if arguments.recipes else list(recipes)
    print_networks({name: recipes[name] for name in names}, test)
    print_ensembles({name: recipes[name] for name in names}, test)
    if arguments.ablation:
        base, _, others = arguments.ablation.partition(":")
        print_ablation(recipes, validation, base, others.split(","))
    if arguments.ceiling:
        robust = {name: each for name, each in recipes.items() if name in names or f":{name}" in str(arguments.ceiling)}
        print_ceilings(robust, {"validation": validation, "test": test}, arguments.ceiling)
    if arguments.wrong:
        print_wrong(recipes[arguments.wrong], test, arguments.images, arguments.sheet)


if __name__ == "__main__":
    main()
