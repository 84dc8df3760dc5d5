"""A network of a grid under the variants of its data set and under attack."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.store.recovered_groups import RecoveredGroups
from pipelines.store.schema import CLEAN
from pipelines.store.shown import Shown
from training.attacks import FixedStrength, LabelledImages
from training.classifiers.trained import Classifier
from training.evaluation.classifiers.flips import images_by_id
from training.evaluation.classifiers.predicting import Predictions, predict
from training.evaluation.classifiers.sampling import random_sample
from training.evaluation.robustness.groups import grouped
from training.grids.outcomes import Outcome
from training.grids.settings import GridAttack, RunGrid
from training.streams.stream import Data

__all__ = ["evaluate_network"]

NAME = "network"


def evaluate_network(
    settings: RunGrid, classifier: Classifier, data: Data, variants: Sequence[str], recovered: RecoveredGroups | None,
    device: torch.device, seed: int,
) -> list[Outcome]:  # fmt: skip
    """`variants` contain the clean images, which are attacked. Raises StreamError, EvaluationError, AttackError."""
    network = {NAME: classifier}
    found = predict(network, data, settings.split, variants, device)
    found = grouped(found, network, data, recovered, device, batch_size=512)
    clean = found[NAME, CLEAN]
    outcomes = [Outcome.of(found[NAME, variant]) for variant in variants]
    for attack in settings.grid.attacks:
        outcomes += _attacked(settings, attack, classifier, clean, data, device, seed)
    return outcomes


def _attacked(
    settings: RunGrid, attack: GridAttack, classifier: Classifier, clean: Predictions, data: Data,
    device: torch.device, seed: int,
) -> Iterator[Outcome]:  # fmt: skip
    chosen = clean.at(random_sample(clean.image_ids, attack.images))
    images = images_by_id(data, settings.split, CLEAN, chosen.image_ids.tolist())
    predicted: dict[Shown, list[NDArray[np.int64]]] = {shown: [] for shown in attack.strengths}
    for start in range(0, len(chosen.labels), settings.attack_batch_size):
        rows = slice(start, start + settings.attack_batch_size)
        ids = chosen.image_ids[rows].tolist()
        examples = LabelledImages(
            _unit_floats([images[name] for name in ids]).to(device),
            torch.from_numpy(chosen.labels[rows]).to(device), ids, seed,
        )  # fmt: skip
        assert isinstance(attack.attack, FixedStrength)
        results = attack.attack(classifier.network, examples, list(attack.strengths.values()))
        for shown, result in zip(attack.strengths, results, strict=True):
            with torch.inference_mode():
                predicted[shown].append(classifier.network(result.images).argmax(1).cpu().numpy())
    for shown, parts in predicted.items():
        yield Outcome.of(replace(chosen, predicted=np.concatenate(parts)), shown)


def _unit_floats(images: Sequence[NDArray[Any]]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(torch.float32).div_(255)
