"""The rounds of a plan of train_many.py: which trainings they have, and what they choose on validation images."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Chosen = dict[str, list[str]]
"""Settings that a round has chosen, by the name of the choice."""


class Job(NamedTuple):
    """One training; `train` and `evaluate` are splits."""

    name: str
    seed: int
    settings: list[str]
    train: list[str]
    evaluate: list[str]

    def is_of(self, line: Mapping[str, Any]) -> bool:
        """Whether it is the training of this line of results.jsonl."""
        return all(line[name] == value for name, value in self._asdict().items())


def score(results: Sequence[Mapping[str, Any]], by: str) -> float:
    """By which recipes are compared: the mean accuracy on validation images, clean and under "stress" alike, or with
    "noises" clean and in every noisy variant alike."""
    found = [result["accuracies"] for result in results]
    names = ["validation/clean", "validation/stress"]
    if by == "noises":
        names = [
            name for name in found[0] if name == "validation/clean" or (name.startswith("validation/") and "-" in name)
        ]
    return float(np.mean([accuracies[name] for accuracies in found for name in names]))


def recipes_of(
    results: Sequence[Mapping[str, Any]], by: str = "stress"
) -> tuple[dict[str, list[str]], dict[str, float]]:
    """The settings and the score of each recipe, over those of its trainings that have ended without an error."""
    ended = [result for result in results if "error" not in result and "validation" not in result["train"]]
    names = {result["name"]: result["settings"] for result in ended}
    return names, {name: score([result for result in ended if result["name"] == name], by) for name in names}


def choose(results: Sequence[Mapping[str, Any]], before: list[str], by: str = "stress") -> list[str]:
    """The settings of the best recipe of a round; with those of `before`, on which the round was built."""
    names, scores = recipes_of(results, by)
    for name, value in sorted(scores.items(), key=lambda item: -item[1]):
        print(f"  {value:.5f} {name}")
    return list(names[max(scores, key=lambda name: scores[name])]) if scores else before


def combine(results: Sequence[Mapping[str, Any]], base: str) -> list[str]:
    """The settings of `base` and those that have improved on it, the best of each key."""
    names, scores = recipes_of(results)
    better = sorted((name for name in names if scores[name] > scores[base]), key=lambda name: scores[name])
    merged = dict(setting.partition("=")[::2] for name in [base, *better] for setting in names[name])
    return [f"{key}={value}" for key, value in merged.items()]


def chosen_by(planned: Mapping[str, Any], results: Sequence[Mapping[str, Any]], before: Chosen) -> Chosen:
    """What a round chooses, by name, together with what was chosen before it."""
    rules = planned.get("choose", {})
    found = dict(before)
    for name, rule in ({"": {}} if rules is True else rules).items():
        print(f"  {name or 'chosen'}:")
        among = [result for result in results if result["name"] in rule.get("of", [result["name"]])]
        found[name] = choose(among, before.get(name, []), rule.get("by", "stress"))
    if planned.get("combine"):
        found[""] = combine(results, planned["combine"])
    return found


def jobs_of(planned: Mapping[str, Any], chosen: Chosen) -> list[Job]:
    found = []
    for training in planned["trainings"]:
        name = training.get("chosen", planned.get("chosen", False))
        base = [] if name is False else chosen.get("" if name is True else name, [])
        unique = dict(setting.partition("=")[::2] for setting in base)
        if longer := training.get("longer"):
            unique["epochs"] = str(round(int(unique["epochs"]) * longer))
        unique |= dict(setting.partition("=")[::2] for setting in training.get("settings", []))
        for seed in training.get("seeds", planned.get("seeds", [0])):
            splits = training.get("train", ["train"]), training.get("evaluate", planned.get("evaluate", ["validation"]))
            found.append(Job(training["name"], seed, [f"{key}={value}" for key, value in unique.items()], *splits))
    return found


def ended(out: Path) -> list[dict[str, Any]]:
    """The lines of results.jsonl of trainings that have ended without an error."""
    file = out / "results.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    return [line for line in lines if "error" not in line]
