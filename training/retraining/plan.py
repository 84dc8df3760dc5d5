"""The inputs of a batch of retraining."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.datasets import Listing
from pipelines.store.schema import CLEAN, Cell, Manifest
from training.retraining.record import BatchError, RetrainingBatch
from training.retraining.settings import Retrain

__all__ = ["RetrainingPlan"]


@dataclass(frozen=True)
class RetrainingPlan:
    """The inputs of a batch: the scripts of the jobs, the folder of the dataset and its noisy variants, the raw images,
    and digests of the code and of the configuration. `unchanged`: the datasets exist and were made from these raw
    images."""

    settings: Retrain
    jobs: Path
    root: Path
    variants: tuple[str, ...]
    listing: Listing
    code: str
    configuration: str
    unchanged: bool
    command: str
    facts: Mapping[str, str]

    @property
    def clean(self) -> Cell:
        return Cell(self.settings.geometry, self.settings.size_px, CLEAN)

    def key(self, data: str) -> str:
        """A digest of all inputs of a challenger."""
        return hashlib.sha256(f"{self.code} {self.configuration} {data}".encode()).hexdigest()

    def batch(self) -> RetrainingBatch:
        """The unfinished batch to resume, or a new one; its id depends only on what is to be done."""
        key = self.key(self.listing.state())[:12]
        number = 1
        while self.settings.force and RetrainingBatch(self.settings.folder / f"{key}-{number}").closed:
            number += 1
        return RetrainingBatch(self.settings.folder / f"{key}-{number}")

    def data_digest(self) -> str:
        """The digest of the ids, labels, regions and pixels of the raw images. Raises BatchError."""
        return str(self.manifest.source["digest"])

    @property
    def manifest(self) -> Manifest:
        """That of the clean images. Raises BatchError."""
        folder = self.clean.folder(self.root)
        manifest = Manifest.read(folder)
        if manifest is None:
            raise BatchError(f"{folder}: does not exist; include {CLEAN} in the variants, at size_px")
        return manifest

    def attacked_variants(self) -> list[str]:
        attacks = self.settings.attacks_of(self.jobs.parent / "conf")
        return [variant for attack in attacks for variant in attack.strengths]
