"""Certifies images one after the other, and attacks those that are predicted rightly."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.attacks import FixedStrength, LabelledImages, SnrDb
from training.evaluation.certification.bounds import certified_radius, lipschitz_radius, lower_bound, shown_class
from training.evaluation.certification.settings import CertifyClassifier
from training.evaluation.certification.smoothing import MeanOverNoise, Smoothed

__all__ = ["Certificate", "Certifier", "LipschitzCertifier", "SmoothingCertifier", "outcomes"]


class Certificate(NamedTuple):
    """`predicted` is the class whose radius is certified, None for an abstention. `hits` of the samples had the class
    that was selected, and `p_lower` bounds its probability; None without sampling."""

    predicted: int | None
    radius_l2: float
    hits: int | None = None
    p_lower: float | None = None


class Outcome(NamedTuple):
    """A row of the table of images. `network_predicted` is the class that the network gives without noise.
    `broken_snr_db` is the weakest ratio at which the attack changed the class; None if it did at none, or if the
    prediction was wrong or an abstention already."""

    image_id: str
    label: int
    network_predicted: int
    certificate: Certificate
    norm_l2: float
    broken_snr_db: float | None


@dataclass(frozen=True)
class SmoothingCertifier:
    """Randomized smoothing (Cohen et al. 2019, algorithms CERTIFY and PREDICT)."""

    settings: CertifyClassifier
    smoothed: Smoothed

    def certify(self, image: torch.Tensor, image_id: str) -> Certificate:
        given = self.settings
        selected = int(self.smoothed.votes(image, image_id, "select", given.selection_samples).argmax())
        hits = int(self.smoothed.votes(image, image_id, "estimate", given.samples)[selected])
        p_lower = lower_bound(hits, given.samples, given.alpha)
        radius = certified_radius(p_lower, self.smoothed.std)
        return Certificate(selected if p_lower > 0.5 else None, radius, hits, p_lower)

    def is_broken(self, attacked: torch.Tensor, image_id: str, label: int, snr_db: float) -> bool:
        """Whether the smoothed class is shown to be another one; an abstention shows nothing."""
        votes = self.smoothed.votes(attacked, image_id, f"snr {snr_db!r}", self.settings.attack_samples)
        return shown_class(votes, self.settings.alpha) not in (label, None)

    def target(self, images: torch.Tensor) -> nn.Module:
        """What is attacked."""
        draws = self.settings.attack_draws
        return MeanOverNoise(self.smoothed, draws, images) if draws else self.smoothed.network


@dataclass(frozen=True)
class LipschitzCertifier:
    """The margin of the logits over the Lipschitz constant of the network; never abstains."""

    network: nn.Module
    lipschitz: float

    def certify(self, image: torch.Tensor, image_id: str) -> Certificate:
        with torch.inference_mode():
            logits: torch.Tensor = self.network(image[None])[0].double()
        largest, second = logits.topk(2).values.tolist()
        return Certificate(int(logits.argmax()), lipschitz_radius(largest - second, self.lipschitz))

    def is_broken(self, attacked: torch.Tensor, image_id: str, label: int, snr_db: float) -> bool:
        return self.certify(attacked, image_id).predicted != label

    def target(self, images: torch.Tensor) -> nn.Module:
        return self.network


Certifier = SmoothingCertifier | LipschitzCertifier


def outcomes(
    certifier: Certifier, settings: CertifyClassifier, examples: LabelledImages, network_predicted: NDArray[np.int64]
) -> list[Outcome]:
    """One for each example. On a CPU, PyTorch's threads take an image each: a pass of a small batch is too short to be
    shared. Raises AttackError."""
    with _workers(examples.images.device) as pool:
        found = list(pool.map(certifier.certify, examples.images, examples.image_ids))
        right = np.array([one.predicted for one in found]) == examples.labels.cpu().numpy()
        broken: dict[int, float] = {}
        for snr_db in settings.snr_db:
            rows = [row for row in np.flatnonzero(right).tolist() if row not in broken]
            attacked = _attacked(certifier, settings, examples.at(torch.tensor(rows, dtype=torch.int64)), snr_db)
            labels = [int(examples.labels[row]) for row in rows]
            ids = [examples.image_ids[row] for row in rows]
            is_broken = pool.map(certifier.is_broken, attacked, ids, labels, [snr_db] * len(rows))
            broken.update({row: snr_db for row, fell in zip(rows, is_broken, strict=True) if fell})
    norms = torch.linalg.vector_norm(examples.images.double(), dim=(1, 2, 3)).tolist()
    return [
        Outcome(
            examples.image_ids[row], int(examples.labels[row]), int(network_predicted[row]), one, norms[row],
            broken.get(row),
        )
        for row, one in enumerate(found)
    ]  # fmt: skip


def _attacked(
    certifier: Certifier, settings: CertifyClassifier, examples: LabelledImages, snr_db: float
) -> Sequence[torch.Tensor]:
    if not len(examples):
        return []
    target = certifier.target(examples.images)
    draws = max(1, settings.attack_draws) if isinstance(certifier, SmoothingCertifier) else 1
    at_once = max(1, settings.batch_size // draws)
    return [image for part in _parts(examples, at_once) for image in _strike(settings.attack, target, part, snr_db)]


def _strike(attack: FixedStrength, target: nn.Module, examples: LabelledImages, snr_db: float) -> torch.Tensor:
    return attack(target, examples, [SnrDb(snr_db)])[0].images


def _parts(examples: LabelledImages, at_once: int) -> Iterator[LabelledImages]:
    for start in range(0, len(examples), at_once):
        yield examples.at(torch.arange(start, min(start + at_once, len(examples))))


def _workers(device: torch.device) -> ThreadPoolExecutor:
    count = torch.get_num_threads() if device.type == "cpu" else 1
    return ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
