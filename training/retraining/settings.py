"""The settings of jobs/retrain.py, and the command lines of the jobs that are its steps."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator

from pipelines.errors import SettingsError
from pipelines.settings import LocalPath, Settings, decisive_values, load
from pipelines.store.schema import SPLITS, Split
from training.classifiers.settings import TrainClassifier
from training.executors.adversarial_datasets import AdversarialDatasets
from training.retraining.drift.measures import Drift
from training.retraining.gate import Gate
from training.retraining.schedule import Schedule
from training.retraining.webhook import Webhook
from training.tracking import ModelName

__all__ = ["Retrain"]

Overrides = tuple[str, ...]
WITHOUT_EFFECT = {"model", "data", "partitions", "batch_id"}


class RawImages(Settings):
    """The `dataset` of jobs/make_noisy_datasets.py; its other keys depend on the kind and are checked there."""

    model_config = ConfigDict(extra="allow")

    kind: str = "auto"
    root: LocalPath | None = None

    def for_datasets(self) -> list[str]:
        given = self.model_dump(mode="json", exclude_none=True)
        return [
            f"dataset.{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in given.items()
        ]


class Retrain(Settings):
    """One batch: the raw images of `dataset` become datasets at `size_px`. A challenger is trained on them for each of
    `seeds`; the gate compares the means over all seeds with those of the champion of the registered model `name`, and
    the seed that is best on the validation tracks serves if they are promoted. `split`: the images of the comparison;
    unless these are the test images, the promoted network is also evaluated on the test images, once, afterwards.

    `datasets`, `training` and `attacks` are the command-line arguments of these jobs. `on_drift`: report it; trigger,
    which trains on new images only if they have drifted; block, which stops, so that somebody can look at them."""

    name: ModelName
    dataset: RawImages
    output_root: LocalPath
    state_root: LocalPath
    geometry: str
    size_px: int = Field(ge=8)
    datasets: Overrides
    training: Overrides
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    attacks: tuple[Overrides, ...]
    split: Split
    device: Literal["auto", "cpu", "cuda"]
    batch_size: int = Field(ge=1)
    gate: Gate
    drift: Drift
    on_drift: Literal["report", "trigger", "block"]
    schedule: Schedule
    lease_s: float = Field(ge=3)
    wait_for_server_s: float = Field(ge=0)
    webhook: Webhook | None
    force: bool

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("contains duplicates")
        return seeds

    @property
    def folder(self) -> Path:
        """The folder of everything that is kept of the batches of this model."""
        return self.state_root / self.name

    def for_datasets(self, size_px: int, batch_id: str) -> list[str]:
        return [
            *self.dataset.for_datasets(), f"output_root={self.output_root}", f"geometry={self.geometry}",
            *self.datasets, f"sizes_px=[{size_px}]", f"splits=[{','.join(SPLITS)}]", f"batch_id={batch_id}",
        ]  # fmt: skip

    def for_training(self, root: Path, seed: int, runs_root: Path, batch_id: str) -> list[str]:
        return [
            *self._data(root), f"data.size_px={self.size_px}", f"device={self.device}", *self.training, f"seed={seed}",
            f"runs_root={runs_root}", "resume=auto", f"tracking.batch_id={batch_id}",
        ]  # fmt: skip

    def for_attack(
        self, root: Path, model: str, attack: Overrides, batch_id: str, splits: Sequence[Split] = ()
    ) -> list[str]:
        """`splits`: by default the one on which the contenders are compared."""
        attacked = f"splits=[{','.join(splits or [self.split])}]"
        return [f"model={model}", *self._data(root), attacked, *attack, f"batch_id={batch_id}"]

    def attacks_of(self, conf: Path) -> list[AdversarialDatasets]:
        """The settings of the attacks, with the defaults in the folder `conf`. Raises SettingsError."""
        config = conf / "make_adversarial_datasets.yaml"
        return [load(AdversarialDatasets, config, self.for_attack(Path("any"), "any", one, "")) for one in self.attacks]

    def configuration(self, conf: Path, datasets: object) -> str:
        """A digest of all settings that can have an effect on the decision; `datasets` are those of the first step.
        Raises SettingsError at once for settings that would stop a later step."""
        config = conf / "train_classifier.yaml"
        recipes = [
            load(TrainClassifier, config, self.for_training(Path("any"), seed, Path("any"), "")) for seed in self.seeds
        ]
        if not all(recipe.validates for recipe in recipes):
            raise SettingsError("training: train_on: the seeds are compared on validation images; set train_on=[train]")
        values = {
            "datasets": datasets,
            "training": [recipe.fingerprint({}, 1) for recipe in recipes],
            "attacks": [decisive_values(one, WITHOUT_EFFECT) for one in self.attacks_of(conf)],
            "gate": decisive_values(self.gate),
            "split": self.split,
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def _data(self, root: Path) -> list[str]:
        return [f"data.root={root}", f"data.geometry={self.geometry}"]
